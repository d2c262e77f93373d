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

/** What nova says of an instance: with its envelope 1.2 KB of JSON. */
export const INSTANCE = {
  tenant_id: '7c150a59fe714e6f9263774af9688f0e',
  user_id: '1e3ce043029547f1a61c1996d1a531a2',
  instance_id: 'a6b1f2c4-6f0e-4a7b-9a59-6f4f2a3d8c11',
  display_name: 'web-17',
  reservation_id: 'r-1a2b3c4d',
  hostname: 'web-17',
  instance_type: 'm1.large',
  instance_type_id: 4,
  instance_flavor_id: 'a22d5517-147c-4147-a0d1-e698df5cd4e3',
  architecture: 'x86_64',
  memory_mb: 8192,
  disk_gb: 80,
  vcpus: 4,
  root_gb: 80,
  ephemeral_gb: 0,
  host: 'compute-3',
  node: 'compute-3.region-one.example.org',
  availability_zone: 'nova',
  cell_name: '',
  created_at: '2026-11-22T09:29:41Z',
  launched_at: '2026-11-22T09:30:00Z',
  deleted_at: '',
  terminated_at: '',
  image_ref_url: 'http://glance.example.org/images/155d900f-4e14-4e4c-a73d-069cbf4541e6',
  os_type: 'linux',
  kernel_id: '',
  ramdisk_id: '',
  state: 'active',
  state_description: '',
  progress: '',
  access_ip_v4: '10.11.12.13',
  access_ip_v6: '',
  fixed_ips: [{ address: '10.11.12.13', version: 4, label: 'private', floating_ips: [] }],
  image_meta: { base_image_ref: '155d900f-4e14-4e4c-a73d-069cbf4541e6', min_disk: '80', min_ram: '0' },
  metadata: { role: 'web', stage: 'production' },
  message: 'Success',
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
