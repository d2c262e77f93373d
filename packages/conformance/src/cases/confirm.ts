/** What a confirmation is worth. */
import type { OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import type { Trial } from '../trial.ts'
import { atMost } from '../wait.ts'

export const CONFIRM: readonly Definition[] = [
  {
    id: 'CNF-01',
    title: 'MUST confirm only what the broker has: killed at a confirm, it still has everything confirmed',
    needs: ['broker', 'stored', 'read', 'faults.kill', 'faults.start'],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      for (let round = 0; round < 2; round++) await killAtAConfirm(trial, `round-${round}`)
    },
  },
]

/** At least so much must be unsettled for a kill to say anything. */
const UNSETTLED = 500
const IN_FLIGHT = 1_000

/** Kills the broker from within a settle, a thousand in flight, starts it again, and counts. */
async function killAtAConfirm(trial: Trial, hint: string): Promise<void> {
  const { random, claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination(hint)
  await trial.confirm(driver, [trial.message(orders)])
  await trial.age(orders)

  const killAt = random.between(200, 20_000)
  const calls: Call[] = []
  let confirmed = 0
  let sent = 0
  let settled = 0
  let unsettled = 0
  let dead: Promise<unknown> | undefined
  const { promise: killed, resolve: kill } = Promise.withResolvers<void>()
  const onSettle = (_: OutboundMessage, outcome: unknown): void => {
    settled++
    if (outcome === 'confirmed' && ++confirmed === killAt) {
      unsettled = sent - settled
      dead = trial.fault('kill')
      kill()
    }
    if (dead === undefined && sent - settled <= IN_FLIGHT) hand()
  }
  const hand = (): void => {
    const batch = trial.messages(orders, Math.min(100, trial.capabilities.maxBatch))
    sent += batch.length
    calls.push(trial.send(driver, batch, { timeoutMs: 30_000, onSettle }))
  }
  while (sent < 2 * IN_FLIGHT) hand()

  const shot = await atMost(60_000, killed)
  trial.check(
    shot !== undefined,
    'publishing goes on',
    `${confirmed} of ${killAt} were confirmed in a minute`,
  )
  if ((await atMost(1_000, dead as Promise<unknown>)) === undefined) {
    throw new Error('faults.kill: the process has not ended within a second')
  }
  if (unsettled < UNSETTLED) throw new Error(`killed with ${unsettled} unsettled, which proves nothing`)
  for (const call of calls) await trial.settled(call, 31_000)
  await trial.fault('start')

  const told = calls.flatMap((call) => call.confirmed)
  const stored = await trial.storedIds(orders, told.length + 1)
  claims.includes(
    stored,
    idsOf(told),
    `killed at confirm ${killAt}, the broker has everything that was confirmed`,
  )
  const denied = calls.flatMap((call) => call.failed.filter((message) => !maybeSent(call, message)))
  claims.excludes(stored, idsOf(denied), 'what was not sent, by its failure, is not there')
}

function maybeSent(call: Call, message: OutboundMessage): boolean {
  const outcome = call.outcome(message)
  return typeof outcome === 'object' && outcome.maybeSent
}
