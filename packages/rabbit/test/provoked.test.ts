/** Behind each row of what errors mean, a fault that a real broker, client or socket was made to have. */
import { createServer } from 'node:net'
import { eventually, openProxy, orSkip, type RabbitBroker, start, type TcpProxy } from '@notify/brokers'
import { type ChannelModel, connect, credentials } from 'amqplib'
import { afterAll, expect, type TestContext, test } from 'vitest'
import { isFailure, ROWS, rowOf } from '../src/classify.ts'
import type { RabbitDriver, RabbitOptions } from '../src/index.ts'
import { consume, outbound, type Place, placeAt, publish, publishOne, within } from './support.ts'

let started: Promise<RabbitBroker> | undefined
const own = (context: TestContext): Promise<RabbitBroker> => {
  started ??= start('rabbit')
  return orSkip(context, started)
}
afterAll(() =>
  started?.then(
    (broker) => broker.stop(),
    () => {},
  ),
)

interface Scene extends Place {
  readonly context: TestContext
  readonly broker: RabbitBroker
  proxied(options?: RabbitOptions): Promise<{ proxy: TcpProxy; driver: RabbitDriver }>
}

/** Gives the failure that a driver told, or the error as it was. */
type Provocation = (scene: Scene) => Promise<unknown>

const PROVOKED: Readonly<Record<string, Provocation>> = {
  'opening credentials': ({ driver, destination, url }) =>
    publishOne(driver({ url: other(url, 'password') }), destination()),
  'opening vhost': ({ driver, destination, url }) =>
    publishOne(driver({ url: other(url, 'pathname') }), destination()),
  'opening mechanism': ({ driver, destination }) =>
    publishOne(driver({ socket: { credentials: credentials.external() } }), destination()),
  'opening tls': ({ driver, destination, url }) =>
    publishOne(driver({ url: url.replace(/^amqp:/, 'amqps:') }), destination()),
  async 'opening connect-timeout'({ proxied, destination }) {
    const { proxy, driver } = await proxied({ connectTimeoutMs: 200 })
    proxy.blackHole()
    return await publishOne(driver, destination())
  },

  async 'broker connection-closed'({ broker, driver, destination }) {
    const publishing = driver()
    await publishOne(publishing, destination())
    const down = downOf(publishing)
    await broker.faults.closeConnections()
    return await down
  },
  async 'broker no-exchange'({ driver, destination }) {
    return await publishOne(driver({ topology: 'none' }), destination())
  },
  async 'broker no-queue'({ driver, destination }) {
    return await refusal(consume(driver({ topology: 'none' }), destination()))
  },
  async 'broker locked'({ driver, destination, raw }) {
    const orders = destination()
    const { channel } = await raw()
    await channel.assertQueue(orders.name, { exclusive: true })
    return await refusal(consume(driver({ topology: 'none' }), orders))
  },
  async 'broker message-bytes'({ broker, context, driver, destination }) {
    if (broker.version.startsWith('3.')) context.skip('RabbitMQ 3 takes 128 MiB')
    const large = outbound(destination(), 'large', { body: new Uint8Array(17 * 2 ** 20) })
    return (await publish(driver({ maxMessageBytes: 2 ** 30 }), [large]))[0]
  },
  async 'broker held-too-long'({ broker, context, driver, destination }) {
    if (isLater(broker, '4.3')) context.skip('since 4.3 the queue cancels the consumer instead')
    const set = (name: string, ms: number) =>
      broker.ctl('eval', `application:set_env(rabbit, ${name}, ${ms}).`)
    await set('consumer_timeout', 500)
    await set('channel_tick_interval', 200)
    try {
      const orders = destination()
      const both = driver()
      await publishOne(both, orders)
      return await (await consume(both, orders)).subscription.ended
    } finally {
      await set('consumer_timeout', 1_800_000)
      await set('channel_tick_interval', 60_000)
    }
  },
  async 'broker arguments'({ driver, destination, raw }) {
    const orders = destination()
    const { channel } = await raw()
    await channel.assertQueue(orders.name)
    return await publishOne(driver(), orders)
  },
  async 'broker precondition'({ broker, driver, destination }) {
    await broker.ctl('set_vhost_limits', '-p', '/', '{"max-queues": 0}')
    try {
      return await publishOne(driver(), destination())
    } finally {
      await broker.ctl('clear_vhost_limits', '-p', '/')
    }
  },
  'broker access-refused': ({ driver, destination }) =>
    publishOne(driver({ exchange: 'amq.reserved' }), destination()),
  async 'broker not-allowed'({ broker, driver, destination }) {
    await broker.ctl('set_user_limits', 'guest', '{"max-channels": 1}')
    try {
      const limited = driver()
      const down = downOf(limited)
      await publishOne(limited, destination())
      return await down
    } finally {
      await broker.ctl('clear_user_limits', 'guest', 'max-channels')
    }
  },
  async 'broker not-implemented'({ destination, raw }) {
    const { name } = destination()
    const { connection, channel } = await raw()
    await channel.assertQueue(name, { arguments: { 'x-queue-type': 'quorum' } })
    await channel.prefetch(1, true)
    return await endOf(connection, () => channel.consume(name, () => {}))
  },
  async 'broker internal'({ broker, driver, destination }) {
    const publishing = driver()
    await publishOne(publishing, destination())
    const down = downOf(publishing)
    await broker.ctl('eval', '[exit(Channel, crash) || Channel <- rabbit_channel:list_local()].')
    return await down
  },
  async 'broker protocol'({ driver, destination }) {
    const publishing = driver()
    await publishOne(publishing, destination())
    const down = downOf(publishing)
    const { connection } = publishing.native().publish as ChannelModel
    ;(connection as unknown as { stream: NodeJS.WritableStream }).stream.write(Buffer.alloc(64, 9))
    return await down
  },

  async 'client queue-full'({ driver, destination, exchange, raw }) {
    const orders = destination()
    const { channel } = await raw()
    await channel.assertExchange(exchange, 'topic', { durable: true })
    await channel.assertQueue(orders.name, {
      arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' },
    })
    await channel.bindQueue(orders.name, exchange, orders.name)
    return await publishOne(driver({ topology: 'none' }), orders)
  },
  async 'client heartbeat'({ proxied, destination }) {
    const { proxy, driver } = await proxied({ heartbeatMs: 1_000 })
    const orders = destination()
    await publishOne(driver, orders)
    proxy.down.hold()
    return await publishOne(driver, orders)
  },
  async 'client channels'({ context, driver, destination, url }) {
    const { hostname, port } = new URL(url)
    const connection = await connect({ hostname, port: Number(port), channelMax: 1 })
    context.onTestFinished(() => connection.close())
    return await publishOne(driver({ connection }), destination())
  },
  async 'client lost'({ driver, destination, raw }) {
    const { connection } = await raw()
    await connection.close()
    return await publishOne(driver({ connection }), destination())
  },
  async 'client headers'({ driver, destination }) {
    const headers = Object.fromEntries(Array.from({ length: 700 }, (_, n) => [`h${n}`, 'x'.repeat(100)]))
    return (await publish(driver(), [outbound(destination(), 'id', { headers })]))[0]
  },
  async 'client field'({ driver, destination }) {
    return (await publish(driver(), [outbound(destination(), 'i'.repeat(256))]))[0]
  },
  async 'client protocol'({ context, driver, destination }) {
    const server = createServer((socket) =>
      socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    context.onTestFinished(async () => void server.close())
    const { port } = server.address() as { port: number }
    return await publishOne(driver({ url: `amqp://127.0.0.1:${port}` }), destination())
  },

  async 'socket lost'({ proxied, destination }) {
    const { proxy, driver } = await proxied()
    const orders = destination()
    await publishOne(driver, orders)
    proxy.down.hold()
    const lost = publishOne(driver, orders)
    proxy.cut()
    return await lost
  },
  'socket unreachable': ({ driver, destination }) =>
    publishOne(driver({ url: 'amqp://127.0.0.1:1' }), destination()),
}

/** What no broker here could be made to do, and why: `classify.test.ts` has the texts that others have seen. */
const SCRIPTED: Readonly<Record<string, string>> = {
  'broker resources': 'said of a stream that cannot be reached, which others would have to bind here',
}

test.for(Object.entries(PROVOKED))(
  '%s: a real fault is told by that row',
  { tags: ['broker'] },
  async ([row, provoke], context) => {
    const broker = await own(context)
    const place = placeAt(context, broker)
    const told = await provoke({
      ...place,
      context,
      broker,
      async proxied(options = {}) {
        const proxy = await openProxy(broker)
        context.onTestFinished(() => proxy.close())
        return { proxy, driver: place.driver({ url: proxy.through(broker.url), ...options }) }
      },
    })
    const found = rowOf(isFailure(told) ? told.cause : told)
    expect(`${found?.from} ${found?.is[1]}`, JSON.stringify(told)).toBe(row)
    if (isFailure(told)) expect([told.code, told.reason]).toEqual(found?.is.slice(0, 2))
  },
)

test('the node that holds a queue is down: UNAVAILABLE, as long as it is', {
  tags: ['broker', 'slow'],
  // Three nodes take their time to find each other.
  timeout: 120_000,
}, async (context) => {
  const cluster = await orSkip(context, start('rabbit', { nodes: 3 }))
  try {
    const [here, there] = cluster.nodes as [(typeof cluster.nodes)[0], (typeof cluster.nodes)[0]]
    const orders = { topic: 'orders', priority: 'INFO', name: 'orders.info' } as const
    const place = placeAt({ onTestFinished: () => {} }, here)
    const near = place.driver({ url: here.url, queueType: 'classic' })
    const far = place.driver({ url: there.url, queueType: 'classic' })
    expect(await publishOne(far, orders)).toBe('confirmed')
    await there.terminate()
    const told = await eventually(
      async () => {
        const outcome = await publishOne(near, orders)
        return outcome !== 'confirmed' && outcome.reason === 'queue-down' ? outcome : undefined
      },
      { withinMs: 20_000, what: 'the cluster notices' },
    )
    expect(told).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      maybeSent: false,
      scope: 'destination',
    })
    expect(rowOf(told.cause)?.is[1]).toBe('queue-down')
    await Promise.all([near.close(within(2_000)), far.close(within(2_000))])
  } finally {
    await cluster.stop()
  }
})

test('each row has a fault that was provoked, or says why none could be', () => {
  const names = [...Object.keys(PROVOKED), ...Object.keys(SCRIPTED), 'broker queue-down']
  expect(names.sort()).toEqual(ROWS.map(({ from, is }) => `${from} ${is[1]}`).sort())
})

/** The same URL, and one part of it wrong. */
function other(url: string, part: 'password' | 'pathname'): string {
  const copy = new URL(url)
  copy[part] = '/nowhere'
  return copy.href
}

async function refusal(work: Promise<unknown>): Promise<unknown> {
  return await work.then(
    () => undefined,
    (error: unknown) => error,
  )
}

/** Why a driver is told to have no connection any more. */
function downOf(driver: RabbitDriver): Promise<unknown> {
  return new Promise((resolve) => driver.observe(({ failure }) => failure !== undefined && resolve(failure)))
}

/** The error that a connection ends with. */
function endOf(connection: ChannelModel, provoke: () => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve) => {
    connection.once('error', resolve)
    provoke().catch(() => {})
  })
}

function isLater({ version }: RabbitBroker, least: string): boolean {
  return version.localeCompare(least, 'en', { numeric: true }) >= 0
}
