// Run by a test in a process of its own, with --expose-gc, so that its memory is that of the library: 200,000
// emits, 200 in a turn, into a driver that is down, which then comes back. With the argument `sums` the sums are
// sampled at every instant; without it nothing but the library makes garbage.
import type { Driver } from '../../src/driver.ts'
import { createNotifier, type NotifyError, PRIORITIES } from '../../src/index.ts'
import { CAPABILITIES, DOWN } from './publisher.ts'

const sampling = process.argv[2] === 'sums'
const gc = globalThis.gc as () => void
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Wrong sums, in words. */
const faults = new Set<string>()
let samples = 0

async function outage(emits: number, onTurn: (emitted: number) => void) {
  /** Kept by hand, from what the program itself did and heard. */
  const tally = { emitted: 0, confirmed: 0, failed: 0, shed: 0, codes: {} as Record<string, number> }
  let up = false

  const sample = (when: string, exact: boolean) => {
    if (!sampling && when !== 'after close') return
    samples++
    const { drivers, ...sums } = notifier.stats()
    const [driver] = drivers
    const check = (what: string, holds: boolean) =>
      holds || faults.add(`${what}, ${when}: ${JSON.stringify({ sums, driver, tally })}`)
    check('emitted', sums.emitted === tally.emitted && sums.emitted >= (driver?.emitted ?? 0))
    check('confirmed', sums.confirmed === tally.confirmed)
    check('law', sums.emitted === sums.confirmed + sums.failed + sums.shed + sums.filtered + sums.pending)
    check(
      'driver',
      driver !== undefined &&
        driver.emitted === driver.confirmed + driver.failed + driver.shed + driver.pending,
    )
    check('bound', (driver?.pending ?? 0) <= 10_000 && driver?.pending === sums.pending)
    // Who is told is told a macrotask later: then the two agree, and before, none is told too early.
    const told = { failed: tally.failed, shed: tally.shed }
    if (exact) check('told', sums.failed === told.failed && sums.shed === told.shed)
    else check('told', sums.failed >= told.failed && sums.shed >= told.shed)
    if (exact) check('pending', sums.pending === tally.emitted - tally.confirmed - tally.failed - tally.shed)
  }

  const driver: Driver = {
    contract: 1,
    name: 'away',
    capabilities: CAPABILITIES,
    publish(batch, settle) {
      for (const message of batch) {
        sample('before a settle', false)
        if (up) tally.confirmed++
        settle(message, up ? undefined : DOWN)
        sample('after a settle', false)
      }
    },
    async health() {
      return { ok: up, warnings: [] }
    },
    async close() {},
  }

  const ended = (error: NotifyError) => {
    tally[error.code === 'SHED' ? 'shed' : 'failed']++
    tally.codes[error.code] = (tally.codes[error.code] ?? 0) + 1
  }
  const notifier = createNotifier({
    publisherId: 'outage',
    driver,
    timeoutMs: 600_000,
    onStatus: () => {},
    onFailure(error) {
      ended(error)
      if (tally.failed % 50 === 0) sample('in onFailure', false)
    },
  })
  while (tally.emitted < emits) {
    for (let index = 0; index < 200; index++) {
      const priority = PRIORITIES[(tally.emitted * 5) % 7] as (typeof PRIORITIES)[number]
      const emission = notifier.notify(priority, 'compute.create_instance', {
        index,
        instance: 'x'.repeat(200),
      })
      tally.emitted++
      // Most float, some are awaited.
      if (index % 10 === 0) emission.catch(ended)
    }
    sample('in a turn', false)
    await turn()
    sample('after a turn', true)
    onTurn(tally.emitted)
  }
  up = true
  await notifier.flush()
  await turn()
  sample('after the outage', true)
  const report = await notifier.close()
  await turn()
  sample('after close', true)
  return { report, tally }
}

const collected = async () => {
  for (let rounds = 0; rounds < 3; rounds++) {
    await turn()
    gc()
  }
  return process.memoryUsage().heapUsed
}

let early = 0
let late = 0
const { report, tally } = await outage(200_000, (emitted) => {
  if (emitted === 20_000) early = process.memoryUsage().rss
  if (emitted === 200_000) late = process.memoryUsage().rss
})
const { drivers: _, ...sums } = report
const result = { sums, codes: tally.codes, samples, faults: [...faults].slice(0, 5), rss: late - early }
// The first one has paid for what is compiled and cached, and the second one has to give back all it takes.
const before = await collected()
if (!sampling) await outage(40_000, () => {})
process.stdout.write(JSON.stringify({ ...result, heap: (await collected()) - before }))
