/** Every message has an outcome of its own. */
import type { Destination, OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import { describeFailure } from '../claims.ts'
import { Pressure } from '../scenes/pressure.ts'
import { mixed, type Refusal, refusals } from '../scenes/refusals.ts'
import type { Trial } from '../trial.ts'

const SCATTERED = 1_000

export const OUTCOMES: readonly Definition[] = [
  {
    id: 'CNF-02',
    title: 'MUST settle with a failure what the broker refuses, and go on elsewhere',
    needs: ['stored', 'faults.refuse'],
    budgetMs: 20_000,
    async prove(trial) {
      const driver = await trial.open()
      const [full, free] = [await trial.destination('full'), await trial.destination('free')]
      const before = trial.messages(full, 3)
      await trial.confirm(driver, before)
      await trial.confirm(driver, [trial.message(free)])
      await trial.fault('refuse', full)

      const size = Math.min(20, trial.capabilities.maxBatch)
      const batches = [size, 1, 1, size].map((count) => trial.messages(full, count))
      const healthy = trial.messages(free, size)
      const [elsewhere, ...calls] = await Promise.all(
        [healthy, ...batches].map((batch) => trial.publish(driver, batch)),
      )
      trial.confirmed(elsewhere as Call, 'what goes elsewhere is confirmed')
      const failed = calls.flatMap((call) => call.failed.map((message) => call.outcome(message)))
      trial.check(failed.length > 0, 'what the broker refuses is settled with a failure', 'all was confirmed')
      for (const outcome of failed) refusedByTheBroker(trial, outcome)

      const confirmed = calls.flatMap((call) => call.confirmed)
      const stored = await trial.storedIds(full, before.length + confirmed.length)
      truthful(trial.claims, calls, stored, 'refused')
      trial.claims.includes(stored, idsOf(before), 'what was confirmed before is still there')
    },
  },
  {
    id: 'CNF-03',
    title:
      'MUST settle each message of a call by itself: what fails takes nothing along, nor is it taken along',
    needs: [],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const sent: OutboundMessage[] = []
      for (const refusal of refusals(trial)) {
        for (const places of [[1], [0], [2], [0, 2, 3], [4]]) {
          const messages = mixed(
            trial,
            orders,
            Math.max(3, ...places.map((place) => place + 1)),
            places,
            refusal,
          )
          const valid = messages.filter((_, index) => !places.includes(index))
          sent.push(...valid)
          for (const call of await trial.publishAll(driver, messages)) {
            for (const message of call.batch) {
              if (valid.includes(message)) {
                trial.claims.equal(
                  word(call, message),
                  'confirmed',
                  `beside ${refusal.name}, the rest is confirmed`,
                )
              } else {
                const rule = `${refusal.name} is refused, and says why`
                trial.claims.failed(call.outcome(message), refusal.failure, rule)
              }
            }
          }
        }
      }
      if (!trial.canSee) return
      const stored = await trial.storedIds(orders, sent.length)
      trial.claims.sameIds(stored, idsOf(sent), 'what was confirmed is stored once, and nothing else is')
    },
  },
  {
    id: 'CNF-06',
    title: 'MUST tell each message its own outcome, out of order and many at once',
    needs: ['stored', 'faults.refuse'],
    budgetMs: 60_000,
    async prove(trial) {
      const { random, claims } = trial
      const driver = await trial.open()
      const [full, ...free] = [
        await trial.destination('full'),
        await trial.destination('free'),
        await trial.destination('free', 'ERROR'),
      ] as [Destination, Destination, Destination]
      for (const each of [full, ...free]) await trial.confirm(driver, [trial.message(each)])
      await trial.fault('refuse', full)

      const invalid = refusals(trial).at(-1) as Refusal
      const refused = new Set<OutboundMessage>()
      let left = SCATTERED
      const next = (): OutboundMessage[] | undefined => {
        if (left === 0) return undefined
        const count = Math.min(left, trial.capabilities.maxBatch, random.between(1, 20))
        left -= count
        const places = Array.from({ length: count }, (_, index) => index).filter(() => random.next() < 0.1)
        const messages = mixed(
          trial,
          [full, ...free][random.between(0, 2)] as Destination,
          count,
          places,
          invalid,
        )
        for (const place of places) refused.add(messages[place] as OutboundMessage)
        return messages
      }
      const pressure = new Pressure(trial, driver, { next })
      await pressure.over
      for (const call of pressure.calls) await trial.settled(call, 60_000)

      for (const call of pressure.calls) {
        for (const message of call.batch) {
          if (refused.has(message)) {
            claims.failed(call.outcome(message), invalid.failure, 'what is refused for what it is, hears so')
          } else if (message.destination !== full) {
            claims.equal(word(call, message), 'confirmed', 'what nothing stands against is confirmed')
          } else if (word(call, message) !== 'confirmed') {
            refusedByTheBroker(trial, call.outcome(message))
          }
        }
      }
      for (const each of [full, ...free]) {
        const calls = pressure.calls.filter(({ batch }) => batch[0]?.destination === each)
        const confirmed = calls.flatMap((call) => call.confirmed)
        const stored = await trial.storedIds(each, confirmed.length + 1)
        truthful(claims, calls, stored, 'many at once')
      }
    },
  },
  {
    id: 'CNF-07',
    title: 'MUST tell one id on its way to two destinations apart: only the missing one is UNROUTABLE',
    needs: ['stored'],
    budgetMs: 20_000,
    async prove(trial) {
      const [there, missing] = [await trial.destination('there'), await trial.destination('missing')]
      const first = trial.message(there)
      await trial.confirm(await trial.open(), [first])
      const driver = await trial.open({ topology: 'none' })
      const sent: OutboundMessage[] = []
      for (let round = 0; round < 6; round++) {
        const size = Math.min(round % 2 === 0 ? 1 : 10, trial.capabilities.maxBatch)
        const messages = trial.messages(there, size)
        const twins = messages.map(({ id }) => trial.message(missing, { id }))
        sent.push(...messages)
        const batches = round < 3 ? [messages, twins] : [twins, messages]
        const calls = await Promise.all(batches.map((batch) => trial.publish(driver, batch)))
        for (const call of calls) {
          for (const outcome of call.outcomes) {
            if (call.batch === twins) {
              const unroutable = { code: 'UNROUTABLE', retryable: false, maybeSent: false } as const
              trial.claims.failed(outcome, unroutable, 'what nothing takes is UNROUTABLE')
            }
          }
          if (call.batch === messages) trial.confirmed(call, 'its twin of the same id is confirmed')
        }
      }
      const stored = await trial.storedIds(there, sent.length + 1)
      trial.claims.sameIds(
        stored,
        idsOf([first, ...sent]),
        'what was confirmed is stored once, and nothing else is',
      )
    },
  },
  {
    id: 'CNF-11',
    title: 'MUST blame nobody for a request that is refused as a whole: split, then each by itself',
    needs: [],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      const poison = await trial.harness.poison?.(orders)
      const kinds = poison === undefined ? [] : [{ name: 'poison', fields: poison, failure: {} }]
      for (const refusal of [...kinds, ...refusals(trial)]) {
        const messages = mixed(trial, orders, Math.min(5, trial.capabilities.maxBatch), [2], refusal)
        const call = await trial.publish(driver, messages)
        const isWhole = messages.some((message) => reasonOf(call, message) === 'split')
        for (const message of messages) {
          if (isWhole) {
            const split = { code: 'UNAVAILABLE', reason: 'split', retryable: true, scope: 'message' } as const
            const rule = 'each message of a request that was refused as a whole is to be tried alone'
            trial.claims.failed(call.outcome(message), split, rule)
          } else if (message !== messages[2]) {
            const rule = `the others are not blamed for ${refusal.name}`
            trial.claims.equal(word(call, message), 'confirmed', rule)
          }
        }
        // As core goes on: a call for each, with a new message of the same id.
        for (const message of messages) {
          if (word(call, message) === 'confirmed') continue
          const alone = await trial.publish(driver, [{ ...message }])
          if (message !== messages[2]) {
            trial.confirmed(alone, 'alone, an innocent message is confirmed')
            continue
          }
          const rule = `alone, ${refusal.name} has a refusal of its own`
          const failure = trial.claims.failed(alone.outcome(0), { retryable: false, scope: 'message' }, rule)
          trial.check(failure.reason !== 'split', rule, 'it is split, and there is nothing to split')
        }
      }
    },
  },
]

/** A full queue or a quota reaches as far as its destination, and it was the broker that said no. */
function refusedByTheBroker(trial: Trial, outcome: ReturnType<Call['outcome']>): void {
  const rule = 'what the broker refuses is settled with a failure of its destination'
  const failure = trial.claims.failed(outcome, {}, rule)
  const { code, scope } = failure
  trial.check(!['CLOSED', 'ABORTED', 'DEADLINE', 'UNKNOWN'].includes(code), rule, `it is ${code}`)
  trial.check(scope !== 'transport', rule, `the scope of ${code} is transport`)
}

function word(call: Call, message: OutboundMessage): string {
  const outcome = call.outcome(message)
  if (outcome === undefined) return 'never settled'
  return outcome === 'confirmed' ? outcome : describeFailure(outcome)
}

function reasonOf(call: Call, message: OutboundMessage): string | undefined {
  const outcome = call.outcome(message)
  return typeof outcome === 'object' ? outcome.reason : undefined
}
