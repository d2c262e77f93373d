import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import type { EmitStats } from '../src/index.ts'

// 200,000 emits, 200 in a turn, into a driver that is down, with the default buffer; then the driver comes back.

interface Outage {
  readonly sums: EmitStats
  readonly codes: Record<string, number>
  readonly samples: number
  readonly faults: readonly string[]
  /** How much more there was at the end than at 20,000 emits, in bytes. */
  readonly rss: number
  /** How much more there was after a second one than before it. */
  readonly heap: number
}

async function outage(...args: string[]): Promise<Outage> {
  const script = new URL('support/outage.ts', import.meta.url).pathname
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--expose-gc', script, ...args], {
    timeout: 50_000,
  })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}

const MIB = 2 ** 20

describe.concurrent('an outage under load', { tags: ['slow'] }, () => {
  test("leaves the program's memory flat, and gives all of it back", async () => {
    const { rss, heap, sums } = await outage()
    expect(sums.emitted).toBe(200_000)
    expect(rss).toBeLessThanOrEqual(64 * MIB)
    expect(heap).toBeLessThanOrEqual(MIB)
  })

  test('ends each emit with an outcome that is told, and its sums agree at every instant', async () => {
    const { sums, codes, samples, faults } = await outage('sums')
    expect(faults).toEqual([])
    expect(samples).toBeGreaterThan(10_000)
    expect(sums).toMatchObject({ emitted: 200_000, confirmed: 10_000, filtered: 0, pending: 0 })
    expect(codes).toEqual({ SHED: sums.shed, OVERLOADED: sums.failed })
    expect(sums.failed + sums.shed).toBe(190_000)
    expect(sums.shed).toBeGreaterThan(5_000)
  })
})
