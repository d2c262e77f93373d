/** The same death, as a program sees it: emits that are awaited, and a notifier that sends again what was lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, type OwnBroker, type Stored, seeded } from '@notify/brokers'
import { createNotifier, type Driver, type NotifierStats, type NotifyError } from '@notify/core'
import { checkLoad, death, type KillFigures } from './kill.ts'
import { inPlace, OLD_ENOUGH_MS, Verdict } from './round.ts'

const BUFFER = 5_000
/** Longer than any restart: none of them may fail. */
const TIMEOUT_MS = 120_000
const LAW_EVERY = 100

export interface EmitKillFigures extends KillFigures {
  /** How many were handed to the driver more than once. */
  readonly sentAgain: number
}

/** A program emits as fast as the buffer takes it, and the broker is killed when one of its emits resolves. */
export function killUnderNotifier(broker: OwnBroker, seed: number): Promise<EmitKillFigures> {
  return inPlace(broker, async ({ driver, destination, oracle }) => {
    const killAt = seeded(seed).between(200, 20_000)
    const { topic, name } = destination()
    const { watched, attempts } = watch(driver())
    const notifier = createNotifier({
      publisherId: 'shop',
      driver: watched,
      topics: [topic],
      timeoutMs: TIMEOUT_MS,
      buffer: { messages: BUFFER },
      onStatus: () => {},
    })
    const ids: string[] = []
    const confirmed = new Set<string>()
    const failed = new Map<string, NotifyError>()
    const twice: string[] = []
    const verdict = new Verdict()
    let unsettled = 0
    let loaded = false
    let dead: Promise<number> | undefined
    let down = false
    let recovered: number | undefined
    watched.observe?.(({ state }) => {
      if (state === 'down') down = true
    })

    const open = (): number => ids.length - confirmed.size - failed.size
    const emit = (): PromiseLike<void> => {
      const emission = notifier.info('order.placed', { n: ids.length })
      const id = emission.message_id
      ids.push(id)
      return emission.then(
        () => resolved(id),
        (error: NotifyError) => {
          if (confirmed.has(id) || failed.has(id)) twice.push(id)
          failed.set(id, error)
        },
      )
    }

    function resolved(id: string): void {
      if (confirmed.has(id) || failed.has(id)) twice.push(id)
      confirmed.add(id)
      if (down) recovered ??= performance.now()
      if (confirmed.size === killAt) {
        dead = death(broker.kill())
        unsettled = notifier.stats().drivers[0]?.inFlight ?? 0
      }
      if (confirmed.size % LAW_EVERY === 0 || confirmed.size === killAt) checkLaw(notifier.stats(), verdict)
      fill()
    }

    function fill(): void {
      while (loaded && dead === undefined && !down && open() < BUFFER) void emit()
    }

    await emit()
    await sleep(OLD_ENOUGH_MS)
    loaded = true
    fill()
    await eventually(() => dead !== undefined || down, { withinMs: 60_000, what: `confirm ${killAt}` })
    if (dead === undefined) throw new Error(`seed ${seed}: the connection was lost before the broker was`)
    const deathMs = await dead
    checkLoad(seed, unsettled)
    checkLaw(notifier.stats(), verdict)
    const greeted = await broker.restart()
    await eventually(() => open() === 0, { withinMs: 60_000, what: `seed ${seed}: every emit ends` })

    const report = await notifier.close()
    checkLaw(report, verdict)
    verdict.hold(
      `the sums are ${JSON.stringify(report)}`,
      report.emitted === ids.length &&
        report.confirmed === confirmed.size &&
        report.failed === failed.size &&
        report.pending === 0,
    )
    const stored = await oracle.read(name)
    const there = checkStored(stored, { ids, attempts }, verdict)
    const lost = [...confirmed].filter((id) => !there.has(id))
    verdict.none('confirmed and lost', lost)
    verdict.none('ended twice', twice)
    verdict.none('failed, with all the time to be sent again', failed)
    verdict.end(seed)
    return {
      seed,
      killAt,
      unsettled,
      deathMs,
      confirmed: confirmed.size,
      failed: failed.size,
      stored: there.size,
      duplicates: stored.length - there.size,
      lost: lost.length,
      recoveryMs: Math.round((recovered ?? Number.NaN) - greeted),
      sentAgain: [...attempts.values()].filter((times) => times > 1).length,
    }
  })
}

/** The same driver; `attempts` counts by id what it was handed. */
function watch(driver: Driver): { watched: Driver; attempts: Map<string, number> } {
  const attempts = new Map<string, number>()
  const watched: Driver = {
    ...driver,
    publish(batch, settle, call) {
      for (const { id } of batch) attempts.set(id, (attempts.get(id) ?? 0) + 1)
      return driver.publish(batch, settle, call)
    },
  }
  return { watched, attempts }
}

function checkLaw(stats: NotifierStats, verdict: Verdict): void {
  const [driver] = stats.drivers
  const ended = stats.confirmed + stats.failed + stats.shed
  verdict.hold(
    `the law is broken: ${JSON.stringify(stats)}`,
    stats.emitted === ended + stats.filtered + stats.pending &&
      driver !== undefined &&
      driver.emitted === driver.confirmed + driver.failed + driver.shed + driver.pending,
  )
}

/**
 * Every copy carries the id of its emit, and the same bytes as the others; there are no more copies than attempts.
 * Gives the ids that are stored.
 */
function checkStored(
  stored: readonly Stored[],
  { ids, attempts }: { readonly ids: readonly string[]; readonly attempts: ReadonlyMap<string, number> },
  verdict: Verdict,
): Set<string> {
  const copies = new Map<string, { body: Buffer; count: number }>()
  const strange: unknown[] = []
  for (const { id, body } of stored) {
    const { message_id, payload } = JSON.parse(body.toString()) as {
      message_id: string
      payload: { n: number }
    }
    const first = copies.get(message_id) ?? { body, count: 0 }
    first.count++
    copies.set(message_id, first)
    if (id !== message_id || ids[payload.n] !== id || !body.equals(first.body))
      strange.push({ id, message_id, payload })
  }
  verdict.none('stored under another id, or with other bytes', strange)
  verdict.none(
    'stored more often than they were sent',
    [...copies].filter(([id, { count }]) => count > (attempts.get(id) ?? 0)).map(([id]) => id),
  )
  return new Set(copies.keys())
}
