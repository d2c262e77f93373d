/** A destination that is taken away. */
import type { Destination, Driver, OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import type { Outcome } from '../claims.ts'
import { PATIENCE_MS, type Trial } from '../trial.ts'
import { until } from '../wait.ts'

const ROUNDS = 2
const UNROUTABLE = { code: 'UNROUTABLE', retryable: false, maybeSent: false } as const

export const REMOVALS: readonly Definition[] = [
  {
    id: 'REC-03',
    title:
      'MUST not confirm what goes to a deleted destination and is gone: UNROUTABLE, or made again under declare',
    needs: ['stored', 'faults.remove'],
    budgetMs: 90_000,
    async prove(trial) {
      await madeAgain(trial)
      for (const topology of ['none', 'check'] as const) await missed(trial, topology)
      if (trial.subscribes) await consumed(trial)
    },
  },
]

/** Under `declare` the driver makes it again, or says that it is missing. */
async function madeAgain(trial: Trial): Promise<void> {
  const driver = await trial.open()
  const [orders, other] = [await trial.destination('declared'), await trial.destination('other')]
  for (let round = 0; round < ROUNDS; round++) {
    await trial.confirm(driver, [...trial.messages(orders, 3)])
    await trial.confirm(driver, [trial.message(other)])
    await trial.fault('remove', orders)
    const calls = await keepPublishing(trial, driver, orders)
    trial.confirmed(
      await trial.publish(driver, [trial.message(other)]),
      'what is still there takes what comes',
    )
    const confirmed = calls.flatMap((call) => call.confirmed)
    if (confirmed.length === 0) {
      const rule = 'under declare, what is deleted is made again, or UNROUTABLE'
      trial.claims.failed(lastOf(calls), UNROUTABLE, rule)
      return
    }
    const stored = await trial.storedIds(orders, confirmed.length)
    trial.claims.includes(stored, idsOf(confirmed), 'what is confirmed after a deletion is there')
  }
}

/** Otherwise nobody makes it again. */
async function missed(trial: Trial, topology: 'none' | 'check'): Promise<void> {
  const orders = await trial.destination(topology)
  const before = trial.messages(orders, 3)
  await trial.confirm(await trial.open(), before)
  const driver = await trial.open({ topology })
  await trial.confirm(driver, [trial.message(orders)])
  await trial.fault('remove', orders)
  const calls = await keepPublishing(trial, driver, orders)
  const confirmed = calls.flatMap((call) => call.confirmed)
  trial.claims.sameIds(idsOf(confirmed), [], `under ${topology}, nothing is confirmed that goes nowhere`)
  trial.claims.failed(lastOf(calls), UNROUTABLE, `under ${topology}, what is deleted is UNROUTABLE`)
  const stored = await trial.storedIds(orders, 0)
  trial.claims.excludes(stored, idsOf(before), 'what was deleted is gone')
}

/** Whoever consumes it hears of the end, or of what comes after. */
async function consumed(trial: Trial): Promise<void> {
  const orders = await trial.destination('consumed')
  const [publisher, consumer] = [await trial.open(), await trial.open()]
  const inbox = await trial.subscribe(consumer, orders)
  await trial.confirm(publisher, trial.messages(orders, 3))
  await trial.has(inbox, 3)
  await trial.fault('remove', orders)
  const calls = await keepPublishing(trial, publisher, orders)
  const ids = idsOf(calls.flatMap((call) => call.confirmed))
  const goesOn = (): boolean => ids.length > 0 && ids.every((id) => inbox.ids.includes(id))
  const rule = 'a subscription to what is deleted ends with a reason, or brings what comes after'
  await trial.until(() => inbox.end !== undefined || goesOn(), rule, PATIENCE_MS)
  if (goesOn()) return
  trial.check(inbox.end !== null, rule, 'it ended as if it had been closed')
  if (ids.length === 0) return
  const again = await trial.subscribe(consumer, orders)
  await trial.has(again, ids.length, 'what is confirmed after a deletion is delivered')
}

/** As core would: as long as the driver says that another attempt could succeed. */
async function keepPublishing(trial: Trial, driver: Driver, orders: Destination): Promise<Call[]> {
  const calls: Call[] = []
  const count = Math.min(5, trial.capabilities.maxBatch)
  const isOver = async (): Promise<boolean> => {
    const batches: OutboundMessage[][] = [trial.messages(orders, count), [trial.message(orders)]]
    const latest: Call[] = []
    for (const batch of batches) latest.push(await trial.publish(driver, batch))
    calls.push(...latest)
    const outcomes = latest.flatMap((call) => call.outcomes)
    return outcomes.every((outcome) => outcome === 'confirmed') || !outcomes.some(canBeTriedAgain)
  }
  await until(isOver, PATIENCE_MS)
  return calls
}

function canBeTriedAgain(outcome: Outcome | undefined): boolean {
  return typeof outcome === 'object' && outcome.retryable
}

function lastOf(calls: readonly Call[]): Outcome | undefined {
  return calls.at(-1)?.outcomes.at(-1)
}
