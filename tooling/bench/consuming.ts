import { createListener, createNotifier, type Listener } from '@notify/core'
import { rabbit } from '@notify/rabbit'
import { type Channel, connect } from 'amqplib'
import type { Figure } from './figure.ts'
import { EVENT, envelope, type Place } from './place.ts'
import { bestOf, type Contender, meterTurns, processor, quartiles, ratio, times } from './turns.ts'

/** What waits when a turn begins, and is gone when it ends: some two seconds of work. */
const MESSAGES = 40_000
const PREFETCHES = [250, 50, 1_000]

/** A listener with a handler that returns at once, against consume, JSON.parse and an ack for each message. */
export async function consuming(place: Place, rounds: number): Promise<Figure[]> {
  const connection = await connect(place.url)
  const channel = await connection.createChannel()
  const driver = rabbit({ url: place.url, exchange: place.exchange })
  const [byHand, listened] = [await place.topic(), await place.topic()]
  const body = Buffer.from(JSON.stringify(envelope()))

  // Holds the driver, so that it stays connected between one listener and the next.
  const holder = createNotifier({ publisherId: 'bench', driver })
  let listener: Listener | undefined
  const raw = (prefetch: number): Contender => ({
    before: () => place.fill(byHand.queue, body, MESSAGES),
    run: () => consume(channel, byHand.queue, prefetch),
  })
  const listening = (prefetch: number): Contender => ({
    async before() {
      await listener?.stop()
      await place.fill(listened.queue, body, MESSAGES)
    },
    run: () =>
      new Promise((resolve, reject) => {
        let handled = 0
        listener = createListener({
          driver,
          topics: [listened.name],
          prefetch,
          handlers: [
            {
              event_type: EVENT,
              priorities: ['INFO'],
              handle() {
                if (++handled === MESSAGES) resolve(MESSAGES)
              },
            },
          ],
        })
        listener.start().catch(reject)
      }),
  })

  try {
    const prefetch = await bestOf(PREFETCHES, raw)
    const costs = await meterTurns(
      { raw: raw(prefetch), listener: listening(prefetch) },
      // A turn ends with the last message, however long that takes.
      { rounds, ms: 0 },
    )
    return [
      {
        what: `a listener, notifications a second / consuming with amqplib by hand, prefetch ${prefetch}`,
        ratio: ratio(times(costs.raw), times(costs.listener)),
        unit: '',
        floor: 0.9,
      },
      {
        what: 'the same, processor time of this process for each',
        ratio: ratio(processor(costs.listener), processor(costs.raw)),
        unit: '',
      },
      {
        what: 'consuming with amqplib by hand, time for each',
        ratio: quartiles(times(costs.raw)),
        unit: 'ns',
      },
      { what: 'a listener, time for each', ratio: quartiles(times(costs.listener)), unit: 'ns' },
    ]
  } finally {
    await listener?.stop()
    await holder.close()
    await connection.close()
  }
}

/** What anybody would write: parse it, look at it, acknowledge it. */
async function consume(channel: Channel, queue: string, prefetch: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  let handled = 0
  await channel.prefetch(prefetch)
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (message === null) return reject(new Error('The broker ended the consumer.'))
    const { event_type } = JSON.parse(message.content.toString()) as { event_type: string }
    if (event_type === EVENT) handled++
    channel.ack(message)
    if (handled === MESSAGES) resolve()
  })
  await promise
  await channel.cancel(consumerTag)
  return MESSAGES
}
