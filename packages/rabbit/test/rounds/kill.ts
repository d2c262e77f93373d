/**
 * A broker's death, at the instant at which the driver has said of a message that the broker has it.
 *
 * The oracle's count is the truth: what was confirmed is there, and what was said not to be there is not.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, type OwnBroker, seeded } from '@notify/brokers'
import type { Failure } from '@notify/core'
import { type Outcome, outbound, within } from '../support.ts'
import { inPlace, OLD_ENOUGH_MS, repeated, Unproven, Verdict } from './round.ts'

/** How many have to be in flight when it dies, and how many are kept there. */
export const LEAST_UNSETTLED = 500
const IN_FLIGHT = 1_500
const BATCH = 100

/** What one death came to. */
export interface KillFigures {
  readonly seed: number
  /** It was killed at the confirm of that number, with so many open. */
  readonly killAt: number
  readonly unsettled: number
  /** From the signal to the end of the process. */
  readonly deathMs: number
  readonly confirmed: number
  readonly failed: number
  /** Different messages, and how many more there were of the same. */
  readonly stored: number
  readonly duplicates: number
  readonly lost: number
  /** From the first greeting of the broker that is back to the first confirm. */
  readonly recoveryMs: number
}

/** One driver publishes as fast as the broker takes it, until the broker is killed; then it is started again. */
export function killUnderDriver(broker: OwnBroker, seed: number): Promise<KillFigures> {
  return inPlace(broker, async ({ driver, destination, oracle }) => {
    const killAt = seeded(seed).between(200, 20_000)
    const orders = destination()
    const publishing = driver()
    const outcomes = new Map<string, Outcome>()
    const twice: string[] = []
    let sent = 0
    let confirmed = 0
    let unsettled = 0
    let loaded = false
    let dead: Promise<number> | undefined
    let down = false
    let recovered: number | undefined
    publishing.observe(({ state }) => {
      if (state === 'down') down = true
    })

    function settle(id: string, outcome: Outcome): void {
      if (outcomes.has(id)) twice.push(id)
      outcomes.set(id, outcome)
      if (outcome === 'confirmed') {
        confirmed++
        if (down) recovered ??= performance.now()
        if (confirmed === killAt) {
          dead = death(broker.kill())
          unsettled = sent - outcomes.size
        }
      }
      fill()
    }

    function fill(): void {
      while (loaded && dead === undefined && !down && sent - outcomes.size <= IN_FLIGHT - BATCH) send(BATCH)
    }

    function send(count: number): void {
      const batch = Array.from({ length: count }, () => outbound(orders, `id-${sent++}`))
      publishing.publish(batch, ({ id }, failure) => settle(id, failure ?? 'confirmed'), within(60_000))
    }

    const allSettled = (): boolean => outcomes.size === sent
    send(1)
    await eventually(allSettled, { withinMs: 20_000, what: 'the queue is there' })
    await sleep(OLD_ENOUGH_MS)
    loaded = true
    fill()
    await eventually(() => dead !== undefined || down, { withinMs: 60_000, what: `confirm ${killAt}` })
    if (dead === undefined) throw new Error(`seed ${seed}: the connection was lost before the broker was`)
    const deathMs = await dead
    checkLoad(seed, unsettled)
    await eventually(allSettled, { withinMs: 10_000, what: `seed ${seed}: what was open is settled` })

    const restarted = broker.restart()
    const probe = (): boolean => {
      if (recovered === undefined && allSettled()) send(1)
      return recovered !== undefined && allSettled()
    }
    const patience = { withinMs: 60_000, everyMs: 10, what: `seed ${seed}: the driver goes on` }
    const [greeted] = await Promise.all([restarted, eventually(probe, patience)])

    const stored = (await oracle.read(orders.name)).map(({ id }) => id as string)
    const there = new Set(stored)
    const failed = [...outcomes].filter((entry): entry is [string, Failure] => entry[1] !== 'confirmed')
    const lost = [...outcomes.keys()].filter((id) => outcomes.get(id) === 'confirmed' && !there.has(id))
    const verdict = new Verdict()
    verdict.none('confirmed and lost', lost)
    verdict.none('settled twice', twice)
    verdict.none(
      'stored that nobody sent',
      [...there].filter((id) => !outcomes.has(id)),
    )
    // The driver makes one attempt.
    verdict.none('stored twice', repeated(stored))
    verdict.none(
      'failed in another way',
      failed.filter(([, { code, retryable }]) => code !== 'UNAVAILABLE' || !retryable),
    )
    verdict.none(
      'stored that failed with maybeSent: false',
      failed.filter(([id, { maybeSent }]) => !maybeSent && there.has(id)),
    )
    verdict.end(seed)
    return {
      seed,
      killAt,
      unsettled,
      deathMs,
      confirmed,
      failed: failed.length,
      stored: there.size,
      duplicates: stored.length - there.size,
      lost: lost.length,
      recoveryMs: Math.round((recovered ?? Number.NaN) - greeted),
    }
  })
}

/**
 * How long the process took to end. The signal is out before this is called: who calls it does so at the instant
 * that matters, and awaits it later.
 */
export function death(killed: ReturnType<OwnBroker['kill']>): Promise<number> {
  const start = performance.now()
  const ended = killed.then(({ signal }) => {
    const ms = performance.now() - start
    if (signal !== 'SIGKILL') throw new Unproven(`the broker ended by ${signal}, not by SIGKILL`)
    if (ms > 1_000) throw new Unproven(`the broker lived for ${Math.round(ms)} ms after SIGKILL`)
    return Math.round(ms)
  })
  ended.catch(() => {})
  return ended
}

export function checkLoad(seed: number, unsettled: number): void {
  if (unsettled >= LEAST_UNSETTLED) return
  throw new Unproven(`seed ${seed}: ${unsettled} were open at the kill, not ${LEAST_UNSETTLED}`)
}
