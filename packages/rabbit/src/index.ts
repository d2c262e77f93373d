/**
 * RabbitMQ. Confirmed publishing over one connection, consuming over another, both opened when they are needed.
 *
 * | here | on RabbitMQ |
 * |---|---|
 * | destination `notifications.info` | routing key of that name on the topic exchange `notify` |
 * | default group | quorum queue `notifications.info`, bound by that key |
 * | group `billing` | quorum queue `notifications.info@billing` |
 * | key | header `notify-key` |
 * | confirmed | the broker's confirm: a majority of the queue's nodes has it on disk |
 *
 * At least once to each group. In order as long as nothing is given back and nothing fails.
 *
 * Read on in `publisher.ts`, `consumer.ts`, and `link.ts` below both.
 *
 * @example
 * const driver = rabbit({ url: 'amqps://shop:secret@rabbit.internal' })
 * const notifier = createNotifier({ publisherId: 'shop', driver })
 * await notifier.info('order.placed', { order_id: 12 })
 *
 * @module
 */
import type { Capabilities, Driver, Status } from '@notify/core'
import { deadline } from './bounded.ts'
import { closed } from './classify.ts'
import { type Consumer, subscribe } from './consumer.ts'
import { checkHealth, staticWarnings } from './health.ts'
import { Link } from './link.ts'
import { type Connection, checkRabbitOptions, hostsOf, type RabbitOptions } from './options.ts'
import { Publisher } from './publisher.ts'
import { queueName, refuseName, topologyOf } from './topology.ts'

export type { Connection, RabbitOptions } from './options.ts'

/** What `native` gives: amqplib's connections, as far as they are open. They are not to be closed. */
export interface RabbitClients {
  readonly publish: Connection | undefined
  readonly consume: Connection | undefined
}

/** A driver for RabbitMQ. */
export interface RabbitDriver extends Driver {
  readonly subscribe: NonNullable<Driver['subscribe']>
  readonly observe: NonNullable<Driver['observe']>
  native(): RabbitClients
}

/** `consumer_timeout` of RabbitMQ, unless somebody has set another one. */
const HOLD_MS = 30 * 60_000

/** A driver for RabbitMQ. Connects to nothing until it is used. */
export function rabbit(options: RabbitOptions = {}): RabbitDriver {
  checkRabbitOptions(options)
  const { connection } = options
  const topology = topologyOf(options)
  const capabilities = capabilitiesOf(options)
  const targets = connection === undefined ? hostsOf(options) : undefined
  const given = connection === undefined || 'createChannel' in connection ? undefined : connection
  const observers = new Set<(status: Status) => void>()
  const consumers = new Set<Consumer>()
  const queues = new Set<string>()
  let closing: Promise<void> | undefined

  const tell = (status: Status): void => {
    for (const observer of [...observers]) observer(status)
  }
  const single = connection as Connection
  const publishing = new Link(targets ?? given?.publish ?? single, 'publish', tell)
  const consuming = new Link(targets ?? given?.consume ?? single, 'consume', () => {})
  const publisher = new Publisher(publishing, topology, capabilities.maxMessageBytes)

  return {
    contract: 1,
    name: 'rabbit',
    capabilities,

    publish(batch, settle, call) {
      const [first] = batch
      if (first === undefined) return
      // One destination per call, and few in all.
      const { name } = first.destination
      if (!queues.has(name) && refuseName(name) === undefined) {
        for (const queue of topology.queuesOf(first.destination)) queues.add(queue)
      }
      publisher.publish(batch, settle, call)
    },

    async subscribe(source, onDelivery, subscribeOptions) {
      if (closing !== undefined) throw closed()
      const consumer = await subscribe(consuming, topology, source, onDelivery, subscribeOptions)
      if (closing !== undefined) {
        await consumer.close(subscribeOptions)
        throw closed()
      }
      consumers.add(consumer)
      queues.add(queueName(source.destination.name, source.group))
      void consumer.ended.then(() => consumers.delete(consumer))
      return consumer
    },

    observe(observer) {
      observers.add(observer)
      const { status } = publishing
      if (status.state !== 'up') observer(status)
      return () => void observers.delete(observer)
    },

    async health(call) {
      if (closing === undefined) return await checkHealth(publishing, options, queues, call)
      return { ok: false, warnings: staticWarnings(options), failure: closed() }
    },

    close(call) {
      closing ??= closeAll(deadline(call))
      return closing

      async function closeAll(limits: typeof call): Promise<void> {
        await Promise.all([
          publisher.close(limits).then(() => publishing.close(limits)),
          Promise.all([...consumers].map((each) => each.close(limits))).then(() => consuming.close(limits)),
        ])
        observers.clear()
      }
    },

    native: () => ({ publish: publishing.live?.connection, consume: consuming.live?.connection }),
  }
}

function capabilitiesOf({
  queueType = 'quorum',
  maxMessageBytes = 16 * 2 ** 20,
}: RabbitOptions): Capabilities {
  const bytes = Math.max(maxMessageBytes, 32 * 2 ** 20)
  return Object.freeze({
    confirms: 'broker',
    discards: false,
    ordering: 'none',
    deduplication: false,
    requeue: true,
    delay: false,
    deliveryCount: queueType === 'quorum',
    groups: true,
    sharing: 'message',
    history: false,
    holdMs: HOLD_MS,
    maxMessageBytes,
    maxBatch: 1_000,
    maxBatchBytes: bytes,
    window: Object.freeze({ messages: 2_000, bytes }),
  })
}
