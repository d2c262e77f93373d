import type { Capabilities, Driver } from '@notify/core'
import type { Definition, Result } from '../src/case.ts'
import { toCase } from '../src/conformance.ts'
import type { Harness } from '../src/harness.ts'
import { Session } from '../src/session.ts'

export const CAPABILITIES: Capabilities = Object.freeze({
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
  maxMessageBytes: 1_000,
  maxBatch: 10,
  maxBatchBytes: 10_000,
  window: Object.freeze({ messages: 100, bytes: 10_000 }),
})

/** A driver that confirms whatever it is handed, but for what a test says. */
export function scripted(parts: Partial<Driver> = {}): Driver {
  return {
    contract: 1,
    name: 'scripted',
    capabilities: CAPABILITIES,
    publish: (batch, settle) => batch.forEach((message) => void settle(message)),
    health: async () => ({ ok: true, warnings: [] }),
    close: async () => {},
    ...parts,
  }
}

export function harness(driver: () => Driver, parts: Partial<Harness> = {}): Harness {
  return {
    driver: { package: 'scripted', version: '1.0.0' },
    broker: { name: 'none', version: async () => '0' },
    url: import.meta.url,
    open: async () => driver(),
    destination: async (topic, priority = 'INFO') => ({
      topic,
      priority,
      name: `${topic}.${priority.toLowerCase()}`,
    }),
    ...parts,
  }
}

/** Runs one case that a test has written. */
export async function prove(
  definition: Partial<Definition>,
  { driver = scripted, ...parts }: Partial<Omit<Harness, 'driver'>> & { driver?: () => Driver } = {},
  signal?: AbortSignal,
): Promise<Result> {
  const session = new Session(() => harness(driver, parts), 1)
  const whole: Definition = {
    id: 'T-01',
    title: 'MUST',
    needs: [],
    budgetMs: 5_000,
    async prove() {},
    ...definition,
  }
  return await toCase(whole, session).run(signal)
}
