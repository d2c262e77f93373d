import { randomUUID } from 'node:crypto'
import { type Broker, eventually, type Oracle, rabbitOracle } from '@notify/brokers'
import type { Delivery, Destination, Failure, OutboundMessage, Subscription } from '@notify/core'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { type RabbitDriver, type RabbitOptions, rabbit } from '../src/index.ts'

export interface Context {
  onTestFinished(task: () => Promise<void>): void
}

/** What a test has to itself on a broker that others may use as well. */
export interface Place {
  readonly url: string
  readonly exchange: string
  readonly oracle: Oracle
  /** A destination whose queues go with the test. */
  destination(hint?: string, groups?: readonly string[]): Destination
  /** A driver that is closed with the test. */
  driver(options?: RabbitOptions): RabbitDriver
  /** A raw client. */
  raw(): Promise<{ connection: ChannelModel; channel: Channel }>
}

export function placeAt(context: Context, { url }: Pick<Broker, 'url'>): Place {
  const unique = randomUUID().slice(0, 8)
  const exchange = `notify-test-${unique}`
  const oracle = rabbitOracle(url)
  const queues: string[] = []
  context.onTestFinished(async () => {
    const connection = await connect(url, { timeout: 5_000 }).catch(() => undefined)
    if (connection === undefined) return
    connection.on('error', () => {})
    const channel = await connection.createChannel()
    channel.on('error', () => {})
    for (const queue of queues) await channel.deleteQueue(queue)
    await channel.deleteExchange(exchange)
    await connection.close()
  })
  return {
    url,
    exchange,
    oracle,
    destination(hint = 'orders', groups = []) {
      const topic = `${hint}-${unique}`
      const name = `${topic}.info`
      queues.push(name, ...groups.map((group) => `${name}@${group}`))
      return { topic, priority: 'INFO', name }
    },
    driver(options = {}) {
      const driver = rabbit({
        ...('urls' in options || 'connection' in options ? {} : { url }),
        exchange,
        ...options,
      })
      context.onTestFinished(() => driver.close(within(2_000)))
      return driver
    },
    async raw() {
      const connection = await connect(url, { timeout: 5_000 })
      connection.on('error', () => {})
      const channel = await connection.createChannel()
      channel.on('error', () => {})
      context.onTestFinished(() => connection.close().catch(() => {}))
      return { connection, channel }
    },
  }
}

export function within(timeoutMs: number, signal: AbortSignal = new AbortController().signal) {
  return { timeoutMs, signal }
}

export function outbound(
  destination: Destination,
  id: string = randomUUID(),
  rest: Partial<OutboundMessage> = {},
): OutboundMessage {
  return {
    id,
    dedupId: `${id}/${destination.name}`,
    destination,
    body: new TextEncoder().encode(`{"id":"${id}"}`),
    contentType: 'application/json',
    headers: {},
    ...rest,
  }
}

export type Outcome = Failure | 'confirmed'

/** One call; resolves when all of it is settled, in the order of the batch. */
export async function publish(
  driver: RabbitDriver,
  batch: readonly OutboundMessage[],
  call: { timeoutMs: number; signal: AbortSignal } = within(10_000),
): Promise<Outcome[]> {
  const outcomes = new Map<OutboundMessage, Outcome>()
  const { promise, resolve } = Promise.withResolvers<void>()
  await driver.publish(
    batch,
    (message, failure) => {
      if (outcomes.has(message)) throw new Error(`${message.id} was settled twice`)
      outcomes.set(message, failure ?? 'confirmed')
      if (outcomes.size === batch.length) resolve()
    },
    call,
  )
  await promise
  return batch.map((message) => outcomes.get(message) as Outcome)
}

export async function publishOne(
  driver: RabbitDriver,
  destination: Destination,
  id?: string,
): Promise<Outcome> {
  return (await publish(driver, [outbound(destination, id)]))[0] as Outcome
}

/** A subscription and what it has received so far. */
export interface Inbox {
  readonly subscription: Subscription
  readonly deliveries: Delivery[]
  has(count: number): Promise<Delivery[]>
}

export async function consume(
  driver: RabbitDriver,
  destination: Destination,
  { prefetch = 10, group }: { prefetch?: number; group?: string } = {},
): Promise<Inbox> {
  const deliveries: Delivery[] = []
  const source = group === undefined ? { destination } : { destination, group }
  const subscription = await driver.subscribe(source, (delivery) => deliveries.push(delivery), {
    ...within(10_000),
    prefetch,
  })
  return {
    subscription,
    deliveries,
    async has(count) {
      await eventually(() => deliveries.length >= count, { what: `${count} deliveries` })
      return deliveries
    },
  }
}

/** Everything that can be read in a value, at any depth. */
export function textOf(value: unknown, seen: Set<unknown> = new Set()): string {
  if (typeof value !== 'object' || value === null) return String(value)
  if (seen.has(value)) return ''
  seen.add(value)
  if (Buffer.isBuffer(value)) return value.toString('latin1')
  return Reflect.ownKeys(value)
    .map((key) => `${String(key)}=${textOf(Reflect.get(value, key), seen)}`)
    .join('\n')
}

export function idOf({ body }: Delivery): string {
  return JSON.parse(new TextDecoder().decode(body)).id
}
