/** Order within a key, when something fails. */
import type { OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import type { Stored } from '../harness.ts'
import { idOf } from '../inbox.ts'
import { Link } from '../scenes/link.ts'
import { refusals } from '../scenes/refusals.ts'
import type { Trial } from '../trial.ts'

const AFTER_FAILURE = {
  code: 'UNAVAILABLE',
  reason: 'after-failure',
  retryable: true,
  maybeSent: false,
  scope: 'message',
} as const

export const PREFIX: readonly Definition[] = [
  {
    id: 'ORD-01',
    title: 'MUST fail the rest of a key, in a call, after its first failure: what is stored is a prefix',
    needs: ['ordering', 'stored'],
    budgetMs: 40_000,
    exclusive: true,
    async prove(trial) {
      await oneBadOfTen(trial)
      const { broker, faults } = trial.harness
      if (broker.address !== undefined || faults?.cut !== undefined) await overACut(trial)
    },
  },
]

/** Ten of a key, one of them refused, among as many of another key and of none. */
async function oneBadOfTen(trial: Trial): Promise<void> {
  const driver = await trial.open()
  const orders = await trial.destination('bad')
  const sent: OutboundMessage[] = []
  for (const [round, refusal] of [...refusals(trial), ...refusals(trial)].entries()) {
    const bad = 3 * (round === 0 ? 0 : trial.random.between(1, 8))
    const messages = trial.messages(orders, 30, (index) => ({
      ...(index === bad ? refusal.fields : {}),
      ...(index % 3 === 2 ? {} : { key: `key-${round}-${index % 3}` }),
    }))
    const culprit = messages[bad] as OutboundMessage
    const again: OutboundMessage[] = []
    for (const call of await trial.publishAll(driver, messages)) {
      const from = call.batch.indexOf(culprit)
      for (const [index, message] of call.batch.entries()) {
        const outcome = call.outcome(message)
        if (message === culprit) {
          trial.claims.failed(outcome, refusal.failure, `${refusal.name} is refused, and says why`)
        } else if (from >= 0 && index > from && message.key === culprit.key) {
          trial.claims.failed(outcome, AFTER_FAILURE, 'after a failure the rest of its key fails')
          again.push({ ...message })
        } else {
          const rule = 'what came before a failure, or has another key, is confirmed'
          trial.claims.equal(typeof outcome === 'object' ? outcome.code : outcome, 'confirmed', rule)
        }
      }
    }
    // As core does, once it has given up the one that failed.
    await trial.confirm(driver, again)
    sent.push(...messages.filter((message) => message !== culprit))
  }
  const stored = await trial.stored(orders, sent.length)
  trial.claims.sameIds(stored.map(nameOf), idsOf(sent), 'each message but the refused ones is stored once')
  for (const key of keysOf(sent)) {
    const rule = 'what is stored of a key is in the order in which it was sent'
    trial.claims.sameOrder(idsWith(stored, key), idsOf(sent.filter((message) => message.key === key)), rule)
  }
}

/** A long call is cut in two: the first part of each key is stored, and the rest is not. */
async function overACut(trial: Trial): Promise<void> {
  const orders = await trial.destination('cut')
  const link = await Link.open(trial)
  const driver = await link.open()
  await trial.confirm(driver, [trial.message(orders)])
  const { maxBatch, maxBatchBytes, maxMessageBytes } = trial.capabilities
  const size = Math.min(2_000, maxMessageBytes - 100)
  const count = Math.min(200, maxBatch, Math.floor(maxBatchBytes / (size + 100)))
  const messages = trial.messages(orders, count, (index) => ({ size, key: `key-${index % 2}` }))
  const at = trial.random.between(1, (count * size) / 2)
  const [call] = (await link.cutMidway(driver, [messages], at)) as [Call]
  // As core does: what failed is tried again, in its order.
  await trial.confirm(
    driver,
    call.failed.map((message) => ({ ...message })),
  )
  const stored = await trial.stored(orders, messages.length + 1)
  for (const key of keysOf(messages)) {
    const ofKey = messages.filter((message) => message.key === key)
    const ids = idsOf(ofKey)
    const found = idsWith(stored, key)
    const outcomes = ofKey.map((message) => call.outcome(message))
    const failed = outcomes.findIndex((outcome) => outcome !== 'confirmed')
    const again = failed < 0 ? [] : ids.slice(failed)
    trial.check(
      outcomes.lastIndexOf('confirmed') < (failed < 0 ? ids.length : failed),
      'what is confirmed of a key is a prefix, also over a cut',
    )
    // What is there from before the cut, and then all that was tried again.
    const before = found.length - again.length
    const rule = 'what is stored of a key is a prefix, also over a cut'
    trial.claims.sameOrder(found, [...ids.slice(0, Math.max(0, before)), ...again], rule)
    const notSent = outcomes.findIndex((outcome) => typeof outcome === 'object' && !outcome.maybeSent)
    trial.check(notSent < 0 || before <= notSent, 'what was not sent, by its failure, is not in the broker')
  }
}

function nameOf({ body }: Stored): string {
  return idOf(body) ?? '?'
}

function idsWith(stored: readonly Stored[], key: string | undefined): string[] {
  return stored.filter((each) => each.key === key).map(nameOf)
}

function keysOf(messages: readonly OutboundMessage[]): string[] {
  return [...new Set(messages.flatMap(({ key }) => (key === undefined ? [] : [key])))]
}
