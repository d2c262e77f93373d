import { randomUUID } from 'node:crypto'
import { createNotifier, type Driver, type Notifier, type OutboundMessage } from '@notify/core'
import { rabbit } from '@notify/rabbit'
import { type ConfirmChannel, connect } from 'amqplib'
import { INSTANCE } from './drivers.ts'
import type { Figure } from './figure.ts'
import { EVENT, envelope, type Place } from './place.ts'
import { bestOf, type Done, inFlight, meterTurns, processor, quartiles, ratio, times } from './turns.ts'

/** Long enough that a hiccup of the machine is a small part of a turn. */
const TURN_MS = 2_000
const WINDOW = 1_000
const WINDOWS = [WINDOW, 300, 2_000]

/**
 * Emits that are awaited, many at a time, against the same guarantee written by hand: a confirm channel, a callback
 * for each message, persistent, mandatory, the same envelope. And the driver alone against amqplib alone, both with
 * bytes that are there already: what is left between the two ratios is core's.
 */
export async function publishing(place: Place, rounds: number): Promise<Figure[]> {
  const connection = await connect(place.url)
  const channel = await connection.createConfirmChannel()
  let returned = 0
  channel.on('return', () => returned++)
  const driver = rabbit({ url: place.url, exchange: place.exchange })
  const [byHand, bytes, emits, handed] = [
    await place.topic(),
    await place.topic(),
    await place.topic(),
    await place.topic(),
  ]
  const notifier = createNotifier({ publisherId: 'bench', driver, topics: [emits.name] })
  const raw = (window: number) =>
    place.publishing(byHand.queue, inFlight(window, publish(channel, place.exchange, byHand.queue, encode)))
  try {
    const window = await bestOf(WINDOWS, raw)
    const body = encode().content
    const prepared = { id: randomUUID(), content: body }
    const costs = await meterTurns(
      {
        raw: raw(window),
        notifier: place.publishing(emits.queue, inFlight(window, emit(notifier))),
        rawBytes: place.publishing(
          bytes.queue,
          inFlight(
            window,
            publish(channel, place.exchange, bytes.queue, () => prepared),
          ),
        ),
        driver: place.publishing(handed.queue, inFlight(window, hand(driver, outbound(handed, body)))),
      },
      { rounds, ms: TURN_MS },
    )
    if (returned > 0) throw new Error(`${returned} messages of amqplib went to no queue.`)
    const rate = ratio(times(costs.raw), times(costs.notifier))
    const bytesPerMessage = body.byteLength
    return [
      {
        id: 'rabbit',
        what: `emits awaited, ${window} at a time, a second / publishes with amqplib by hand, ${bytesPerMessage} B each`,
        ratio: rate,
        unit: '',
        floor: 0.9,
        sentence: `Through RabbitMQ, awaited emits reach ${rate.median.toFixed(2)} of the rate of amqplib used by hand, with the same guarantee`,
      },
      {
        what: 'the same, processor time of this process for each',
        ratio: ratio(processor(costs.notifier), processor(costs.raw)),
        unit: '',
      },
      {
        what: 'the driver alone, messages a second / amqplib alone, both with bytes that are there already',
        ratio: ratio(times(costs.rawBytes), times(costs.driver)),
        unit: '',
      },
      {
        what: 'the same, processor time of this process for each',
        ratio: ratio(processor(costs.driver), processor(costs.rawBytes)),
        unit: '',
      },
      ...Object.entries(costs).map(([name, each]) => ({
        what: `${NAMES[name]}, time for each`,
        ratio: quartiles(times(each)),
        unit: 'ns',
      })),
    ]
  } finally {
    await notifier.close()
    await connection.close()
  }
}

const NAMES: Readonly<Record<string, string>> = {
  raw: 'publishing with amqplib by hand',
  notifier: 'awaited emits',
  rawBytes: 'amqplib alone',
  driver: 'the driver alone',
}

interface Bytes {
  readonly id: string
  readonly content: Buffer
}

function encode(): Bytes {
  const id = randomUUID()
  return { id, content: Buffer.from(JSON.stringify(envelope(id))) }
}

function publish(channel: ConfirmChannel, exchange: string, key: string, make: () => Bytes) {
  return (done: Done) => () => {
    const { id, content } = make()
    const options = { messageId: id, contentType: 'application/json', persistent: true, mandatory: true }
    channel.publish(exchange, key, content, options, done)
  }
}

function emit(notifier: Notifier) {
  return (done: Done) => {
    const confirmed = () => done()
    return () => void notifier.info(EVENT, INSTANCE).then(confirmed, done)
  }
}

/** Calls of as many messages as have come together, which is how core hands them over. */
function hand(driver: Driver, make: () => OutboundMessage) {
  const call = { timeoutMs: 30_000, signal: new AbortController().signal }
  return (done: Done) => {
    let batch: OutboundMessage[] = []
    const flush = () => {
      const messages = batch
      batch = []
      void driver.publish(messages, (_, failure) => done(failure), call)
    }
    return () => {
      if (batch.length === 0) queueMicrotask(flush)
      batch.push(make())
    }
  }
}

function outbound({ name, queue }: { name: string; queue: string }, body: Uint8Array): () => OutboundMessage {
  const destination = { topic: name, priority: 'INFO', name: queue } as const
  const id = randomUUID()
  return () => ({
    id,
    dedupId: `${id}/${queue}`,
    destination,
    body,
    contentType: 'application/json',
    headers: {},
  })
}
