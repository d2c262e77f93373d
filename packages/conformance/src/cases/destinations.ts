/** What belongs to one destination, and what to none. */
import type { Destination, Priority } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { delivered } from '../checks/arrival.ts'
import { beside } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'

export const DESTINATIONS: readonly Definition[] = [
  {
    id: 'DEL-05',
    title: 'MUST keep topics and priorities apart',
    needs: ['stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await neighbours(trial, 'at-rest', PRIORITIES)
      const kept = rest.map((destination) => trial.messages(destination, 3))
      for (const turn of [0, 1, 2]) {
        const calls = kept.map((messages) => trial.publish(driver, messages.slice(turn, turn + 1)))
        for (const call of await Promise.all(calls)) trial.confirmed(call)
      }
      const stored = await Promise.all(rest.map((destination) => trial.storedIds(destination, 3)))
      for (const [index, { name }] of rest.entries()) {
        trial.claims.sameIds(stored[index] ?? [], idsOf(kept[index] ?? []), `${name} holds what is its own`)
      }

      if (!trial.subscribes) return
      const onward = await neighbours(trial, 'onward', PRIORITIES)
      const inboxes = await Promise.all(onward.map((destination) => trial.subscribe(driver, destination)))
      const sent = onward.map((destination) => trial.messages(destination, 3))
      await Promise.all(sent.map((messages) => trial.confirm(driver, messages)))
      for (const [index, inbox] of inboxes.entries()) await delivered(trial, inbox, sent[index] ?? [])
      await trial.quiet()
      for (const [index, inbox] of inboxes.entries()) {
        const rule = 'a subscription brings what is of its topic and priority, and nothing else'
        trial.claims.sameIds(inbox.ids, idsOf(sent[index] ?? []), rule)
      }
    },
  },
  {
    id: 'DEL-09',
    title: 'MUST settle with UNROUTABLE what has no destination, under topology check and none',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const declaring = await trial.open()
      const there = await trial.destination('there')
      await trial.confirm(declaring, [trial.message(there)])
      for (const topology of ['none', 'check'] as const) {
        const driver = await trial.open({ topology })
        const missing = await trial.destination(`missing-${topology}`)
        const lost = trial.messages(missing, 6)
        const known = trial.messages(there, 3)
        const size = Math.min(3, trial.capabilities.maxBatch)
        const calls = [
          trial.publish(driver, known.slice(0, 1)),
          trial.publish(driver, lost.slice(0, size)),
          trial.publish(driver, known.slice(1, 2)),
        ]
        await Promise.all(calls)
        calls.push(trial.publish(driver, lost.slice(3, 4)), trial.publish(driver, known.slice(2)))
        for (const call of await Promise.all(calls)) {
          for (const [index, { destination }] of call.batch.entries()) {
            const outcome = call.outcome(index)
            if (destination === there) {
              trial.check(outcome === 'confirmed', `topology ${topology}: what is there takes messages`)
              continue
            }
            trial.claims.failed(
              outcome,
              { code: 'UNROUTABLE', retryable: false, maybeSent: false, scope: 'destination' },
              `topology ${topology}: a missing destination is UNROUTABLE`,
            )
          }
        }
        if (trial.subscribes) {
          const rule = `topology ${topology}: a subscription to a missing destination is refused`
          const { value, error } = await trial.trySubscribe(driver, missing)
          trial.check(value === undefined, rule, 'it was opened')
          trial.claims.equal((error as { code?: string } | undefined)?.code, 'UNROUTABLE', rule)
        }

        const first = trial.message(missing)
        await trial.confirm(declaring, [first])
        const found = await becomesRoutable(trial, topology, () =>
          trial.publish(driver, [trial.message(missing)]),
        )
        const stored = await trial.storedIds(missing, 2)
        const rule = `topology ${topology}: what is stored is what was confirmed, and nothing that was refused`
        trial.claims.sameIds(stored, [first.id, found], rule)
      }
    },
  },
]

const PRIORITIES: readonly Priority[] = ['DEBUG', 'SAMPLE', 'INFO', 'AUDIT', 'WARN', 'ERROR', 'CRITICAL']

/** Destinations that are easily taken for each other: the priorities of one topic, and topics named alike. */
async function neighbours(
  trial: Trial,
  hint: string,
  priorities: readonly Priority[],
): Promise<Destination[]> {
  const own = await Promise.all(priorities.map((priority) => trial.destination(hint, priority)))
  const plain = await trial.destination(hint, 'INFO')
  const alike = ['.info', '.dead', '.dead.info', '-info', 'x'].map((end) =>
    beside(plain, `${plain.topic}${end}`),
  )
  return [...own, ...alike]
}

/** A destination that is made later is found, if not at once. Gives the id that was confirmed. */
async function becomesRoutable(
  trial: Trial,
  topology: string,
  publish: () => ReturnType<Trial['publish']>,
): Promise<string> {
  let confirmed: string | undefined
  await trial.until(async () => {
    confirmed = (await publish()).confirmed[0]?.id
    return confirmed !== undefined
  }, `topology ${topology}: a destination that was made meanwhile is found`)
  return confirmed as string
}
