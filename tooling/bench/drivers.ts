import type { Driver } from '@notify/core'

export const PAYLOAD = {
  instance_id: 'a6b1f2c4-6f0e-4a7b-9a59-6f4f2a3d8c11',
  display_name: 'web-17',
  state: 'active',
  memory_mb: 2048,
  disk_gb: 20,
  vcpus: 2,
  host: 'compute-3',
  tags: ['blue', 'spot'],
}

const CAPABILITIES: Driver['capabilities'] = Object.freeze({
  confirms: 'process',
  discards: false,
  ordering: 'none',
  deduplication: false,
  requeue: false,
  delay: false,
  deliveryCount: false,
  groups: false,
  sharing: 'message',
  history: false,
  maxMessageBytes: 2 ** 20,
  maxBatch: 500,
  maxBatchBytes: 2 ** 24,
  window: Object.freeze({ messages: 1_000, bytes: 2 ** 24 }),
})

/** Confirms each message as it comes. */
export function instant(): Driver {
  return {
    contract: 1,
    name: 'instant',
    capabilities: CAPABILITIES,
    publish(batch, settle) {
      for (const message of batch) settle(message)
    },
    health: async () => ({ ok: true, warnings: [] }),
    close: async () => {},
  }
}

/** Refuses each message as a broker does that cannot be reached. */
export function down(): Driver {
  return {
    ...instant(),
    name: 'down',
    publish(batch, settle) {
      for (const message of batch) {
        settle(message, { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' })
      }
    },
  }
}
