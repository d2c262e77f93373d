/** How much is handed over at a time, in which order, and how often. */
import type { Destination, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { arrived, atBothEnds, byHeader, bytesOf, NAME } from '../checks/arrival.ts'
import { assorted } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'

export const CALLS: readonly Definition[] = [
  {
    id: 'DEL-12',
    title: 'MUST keep the order of messages with one key',
    needs: ['ordering', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await trial.destination('at-rest')
      const kept = lanes(trial, rest)
      await inOrder(kept, (batch) => trial.confirm(driver, batch))
      const stored = await trial.storedIds(rest, kept.flat(2).length)
      sameOrder(trial, stored, kept.flat(2), 'stored, messages of one key are in their order')

      if (!trial.subscribes) return
      const onward = await trial.destination('onward')
      const inbox = await trial.subscribe(await trial.open(), onward)
      const sent = lanes(trial, onward)
      await inOrder(sent, (batch) => trial.confirm(driver, batch))
      await trial.has(inbox, sent.flat(2).length)
      sameOrder(trial, inbox.ids, sent.flat(2), 'delivered, messages of one key are in their order')
    },
  },
  {
    id: 'DEL-17',
    title: 'MUST do the same for one call of many messages as for many calls of one',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const make = (destination: Destination): OutboundMessage[] => twins(trial, destination)
      await atBothEnds(trial, make, { nameOf: byHeader, hint: 'one-call' })
      await atBothEnds(trial, make, {
        nameOf: byHeader,
        hint: 'many-calls',
        async publish(driver, messages) {
          for (const message of messages) trial.confirmed(await trial.publish(driver, [message]))
        },
      })
    },
  },
  {
    id: 'DEL-18',
    title: 'MUST take a call of exactly maxBatch messages whole, and one of exactly maxBatchBytes',
    needs: ['stored'],
    budgetMs: 120_000,
    async prove(trial) {
      for (const [hint, make] of [
        ['many', fullest],
        ['heavy', heaviest],
      ] as const) {
        const driver = await trial.open()
        const destination = await trial.destination(hint)
        const batch = make(trial, destination)
        const call = await trial.publish(driver, batch, { timeoutMs: 60_000 })
        trial.confirmed(call, 'a call as large as the capabilities allow is confirmed')
        const stored = await trial.stored(destination, batch.length)
        arrived(trial, stored, batch, `of the largest call (${hint})`)
      }
    },
  },
  {
    id: 'DEL-19',
    title: 'MUST store one dedupId once within the window, and confirm it each time',
    needs: ['deduplication', 'stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const [driver, other] = [await trial.open(), await trial.open()]
      const orders = await trial.destination()
      const [first, pair, race, plain] = trial.messages(orders, 4) as [
        OutboundMessage,
        OutboundMessage,
        OutboundMessage,
        OutboundMessage,
      ]
      const letter = { ...again(first), dedupId: `${first.dedupId}/dead/` }
      for (const who of [driver, driver, other]) await trial.confirm(who, [again(first)])
      await trial.confirm(driver, [pair, again(pair), plain])
      await Promise.all([driver, other].map((who) => trial.confirm(who, [again(race)])))
      await trial.confirm(driver, [letter])
      trial.claims.sameIds(
        await trial.storedIds(orders, 5),
        idsOf([first, pair, race, plain, letter]),
        'what has one dedupId is stored once, and what has another one too',
      )

      if (!trial.subscribes) return
      const onward = await trial.destination('onward')
      const inbox = await trial.subscribe(driver, onward)
      const handled = trial.message(onward)
      await trial.confirm(driver, [handled])
      await trial.has(inbox, 1)
      const last = trial.message(onward)
      await trial.confirm(driver, [again(handled), last])
      await trial.has(inbox, 2)
      await trial.quiet()
      const rule = 'what was acknowledged is known within the window'
      trial.claims.sameIds(inbox.ids, idsOf([handled, last]), rule)
    },
  },
]

/** What core makes of a retry. */
function again(message: OutboundMessage): OutboundMessage {
  return { ...message, body: new Uint8Array(message.body), headers: { ...message.headers } }
}

const KEYS = ['a', 'b', 'c', 'd']
const ROUNDS = 4
const IN_A_ROUND = 5

/** Two senders, each with rounds of messages of keys of its own, between others without a key. */
function lanes(trial: Trial, destination: Destination): OutboundMessage[][][] {
  const most = trial.capabilities.maxMessageBytes - 200
  return ['one', 'two'].map((sender) =>
    Array.from({ length: ROUNDS }, () =>
      // The first ones of a round are the largest, and the slowest to get away.
      trial.messages(destination, IN_A_ROUND * (KEYS.length + 1), (index) => {
        const key = KEYS[index % (KEYS.length + 1)]
        const size = Math.max(0, Math.min(20_000 - index * 1_000, most))
        return key === undefined ? { size } : { size, key: `${sender}-${key}` }
      }),
    ),
  )
}

/** The rounds of a sender one after the other, senders side by side: no two calls under way share a key. */
async function inOrder(
  senders: readonly OutboundMessage[][][],
  publish: (batch: OutboundMessage[]) => Promise<void>,
): Promise<void> {
  await Promise.all(
    senders.map(async (rounds) => {
      for (const batch of rounds) await publish(batch)
    }),
  )
}

function sameOrder({ claims }: Trial, ids: string[], sent: readonly OutboundMessage[], rule: string): void {
  claims.sameIds(ids, idsOf(sent), `${rule}, and all are there`)
  for (const key of new Set(sent.flatMap((message) => message.key ?? []))) {
    const wanted = idsOf(sent.filter((message) => message.key === key))
    const mine = new Set(wanted)
    claims.sameOrder(
      ids.filter((id) => mine.has(id)),
      wanted,
      rule,
    )
  }
}

/** All that messages can differ in, and two that differ in their ids alone. */
function twins(trial: Trial, destination: Destination): OutboundMessage[] {
  const messages = assorted(trial, destination, 18)
  const [first] = messages as [OutboundMessage]
  const same = [1, 2].map(() => trial.message(destination, { body: first.body }))
  return [...messages, ...same].map((message, index) => ({
    ...message,
    headers: { ...message.headers, [NAME]: `n${index}` },
  }))
}

/** As many messages as a call may have. */
function fullest(trial: Trial, destination: Destination): OutboundMessage[] {
  const { maxBatch, maxBatchBytes, window } = trial.capabilities
  const bytes = bytesOf(trial.message(destination)) + SPARE_BYTES
  const count = Math.min(maxBatch, window.messages, Math.floor(Math.min(maxBatchBytes, window.bytes) / bytes))
  return trial.messages(destination, Math.max(1, count))
}

/** As many bytes as a call may have, to the last one. */
function heaviest(trial: Trial, destination: Destination): OutboundMessage[] {
  const { maxBatch, maxBatchBytes, maxMessageBytes, window } = trial.capabilities
  const bytes = Math.min(maxBatchBytes, window.bytes, maxBatch * maxMessageBytes)
  const size = Math.min(maxMessageBytes, Math.max(2 ** 20, Math.ceil(bytes / maxBatch)), Math.ceil(bytes / 4))
  const count = Math.ceil(bytes / size)
  const each = Math.floor(bytes / count)
  return trial.messages(destination, count, (index) => ({ size: index < bytes % count ? each + 1 : each }))
}

/** How much longer than the first id a later one may be. */
const SPARE_BYTES = 8
