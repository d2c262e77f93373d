import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { eventually, openProxy, requireBroker } from '@notify/brokers'
import { createListener, createNotifier, PRIORITIES } from '@notify/core'
import type { ChannelModel } from 'amqplib'
import { expect, type TestContext, test } from 'vitest'
import { rabbit } from '../src/index.ts'
import { consume, idOf, outbound, type Place, placeAt, publish, publishOne, within } from './support.ts'

const place = async (context: TestContext): Promise<Place> =>
  placeAt(context, await requireBroker(context, 'rabbit'))

const numbered = (destination: Parameters<typeof outbound>[0], count: number) =>
  Array.from({ length: count }, (_, index) => outbound(destination, `id-${index}`))

test('what was published arrives as it was, at most prefetch at a time, and acknowledged is gone', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  const message = outbound(orders, 'id-0', { headers: { BCC: 'x', empty: '' }, key: 'k' })
  await publish(both, [message, ...numbered(orders, 9).slice(1)])
  const inbox = await consume(both, orders, { prefetch: 3 })
  const [first] = await inbox.has(3)
  expect(first).toMatchObject({
    destination: orders,
    contentType: 'application/json',
    headers: { BCC: 'x', empty: '' },
    key: 'k',
    deliveries: 1,
  })
  expect(Buffer.from(first?.body ?? [])).toEqual(Buffer.from(message.body))
  expect(await oracle.count(orders.name)).toBe(6)
  expect(inbox.deliveries).toHaveLength(3)
  let settled = 0
  while (settled < 9) {
    await inbox.has(Math.min(settled + 3, 9))
    // Out of order, so that some go out alone.
    const ready = inbox.deliveries.slice(settled).reverse()
    settled += ready.length
    expect(new Set(await Promise.all(ready.map((each) => each.ack())))).toEqual(new Set([true]))
  }
  expect(inbox.deliveries.map(idOf)).toEqual(numbered(orders, 9).map(({ id }) => id))
  await inbox.subscription.close(within(5_000))
  expect(await inbox.subscription.ended).toBeUndefined()
  expect([await oracle.count(orders.name), await oracle.consumers(orders.name)]).toEqual([0, 0])
})

test('acknowledgements of one turn that touch go out as one', { tags: ['broker'] }, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const both = driver({ url: proxy.through(broker.url) })
  await publish(both, numbered(orders, 100))
  const inbox = await consume(both, orders, { prefetch: 100 })
  await inbox.has(100)
  const acks = proxy.up.watch('\x00\x3c\x00\x50')
  const open = inbox.deliveries.splice(50, 1)
  await Promise.all(inbox.deliveries.map((each) => each.ack()))
  await inbox.subscription.close(within(5_000))
  expect(acks.count).toBe(50)
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(open.map(idOf))
})

test('given back: it comes again, counted; a second settling is harmless; a delay is UNSUPPORTED', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  await publishOne(both, orders, 'again')
  const inbox = await consume(both, orders)
  for (let round = 1; round <= 25; round++) {
    const delivery = (await inbox.has(round))[round - 1]
    expect(delivery?.deliveries).toBe(round)
    await expect(delivery?.requeue({ delayMs: 5 })).rejects.toMatchObject({ code: 'UNSUPPORTED' })
    expect(await delivery?.requeue()).toBe(true)
    expect(await delivery?.requeue()).toBe(true)
    expect(await delivery?.ack()).toBe(false)
  }
  const last = (await inbox.has(26))[25]
  expect([await last?.ack(), await last?.ack(), await last?.requeue()]).toEqual([true, true, false])
  await inbox.subscription.close(within(5_000))
  expect(await oracle.count(orders.name)).toBe(0)
})

test('the connection breaks: the subscription ends, its deliveries settle false and come back', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const both = driver({ url: proxy.through(broker.url) })
  await publish(both, numbered(orders, 5))
  const inbox = await consume(both, orders)
  await inbox.has(5)
  const acking = inbox.deliveries[0]?.ack()
  proxy.cut()
  expect(await inbox.subscription.ended).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
  expect(await inbox.deliveries[1]?.ack()).toBe(false)
  expect(await inbox.deliveries[2]?.requeue()).toBe(false)
  const taken = (await acking) === true
  await inbox.subscription.close(within(1_000))
  const again = await consume(both, orders)
  const rest = ['id-1', 'id-2', 'id-3', 'id-4']
  await eventually(() => rest.every((id) => again.deliveries.some((each) => idOf(each) === id)))
  // The first was on its way to be acknowledged: it is gone, or it is back as well.
  await eventually(async () => (await oracle.count(orders.name)) === 0)
  expect(again.deliveries.every(({ deliveries }) => deliveries === 2)).toBe(true)
  if (!taken) expect(again.deliveries.map(idOf).sort()).toEqual(['id-0', ...rest])
  expect(await oracle.consumers(orders.name)).toBe(1)
})

test.for([
  ['TLS breaks', Object.assign(new Error('bad record mac'), { code: 'ERR_SSL_BAD_RECORD_MAC' })],
  ['nobody knows why', new Error('never heard of')],
] as [string, Error][])(
  'the connection breaks, %s: the subscription ends, and another one can be had',
  {
    tags: ['broker'],
  },
  async ([, error], context) => {
    const { driver, destination } = await place(context)
    const orders = destination()
    const both = driver()
    const { subscription } = await consume(both, orders)
    const { connection } = both.native().consume as ChannelModel
    ;(connection as unknown as { stream: Socket }).stream.destroy(error)
    expect(await subscription.ended).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      scope: 'transport',
    })
    await publishOne(both, orders, 'again')
    expect((await (await consume(both, orders)).has(1)).map(idOf)).toEqual(['again'])
  },
)

test('closed while a pause is not answered: within its time', { tags: ['broker'] }, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const both = driver({ url: proxy.through(broker.url) })
  const [one, two] = [await consume(both, destination('a')), await consume(both, destination('b'))]
  proxy.down.hold()
  const pausing = [one.subscription.pause(), two.subscription.pause()]
  const before = performance.now()
  await one.subscription.close(within(200))
  await both.close(within(200))
  await Promise.all(pausing)
  expect(performance.now() - before).toBeLessThan(2_000)
})

test('acknowledged and closed at once: what had come before is gone, and says so', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  await publishOne(both, orders)
  const inbox = await consume(both, orders)
  const [first] = await inbox.has(1)
  await first?.requeue()
  const [, again] = await inbox.has(2)
  const acking = again?.ack()
  await inbox.subscription.close(within(5_000))
  expect(await acking).toBe(true)
  expect(await oracle.count(orders.name)).toBe(0)
})

test('paused: nothing comes, and what came can be settled', { tags: ['broker'] }, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  await publish(both, numbered(orders, 2))
  const inbox = await consume(both, orders)
  await inbox.has(2)
  await inbox.subscription.pause()
  await inbox.subscription.pause()
  expect(await publishOne(both, orders, 'later')).toBe('confirmed')
  expect(await Promise.all(inbox.deliveries.map((each) => each.ack()))).toEqual([true, true])
  expect([await oracle.count(orders.name), await oracle.consumers(orders.name)]).toEqual([1, 0])
  expect(inbox.deliveries).toHaveLength(2)
})

test('closed: acknowledged is gone, the rest comes back at once', { tags: ['broker'] }, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  await publish(both, numbered(orders, 4))
  const inbox = await consume(both, orders)
  const [first, second] = await inbox.has(4)
  const acking = first?.ack()
  await Promise.all([inbox.subscription.close(within(5_000)), inbox.subscription.close(within(5_000))])
  expect([await acking, await second?.ack()]).toEqual([true, false])
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(['id-1', 'id-2', 'id-3'])
})

test('aborted while pending: no consumer is left', { tags: ['broker'] }, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const both = driver({ url: proxy.through(broker.url) })
  await publishOne(both, orders)
  const abort = new AbortController()
  const consuming = proxy.up.passes('\x00\x3c\x00\x14')
  const options = { ...within(60_000, abort.signal), prefetch: 1 }
  const pending = both.subscribe({ destination: orders }, () => {}, options)
  await consuming
  abort.abort({ code: 'CLOSED', retryable: false, maybeSent: false, scope: 'transport' })
  await expect(pending).rejects.toMatchObject({ code: 'CLOSED' })
  await eventually(async () => (await oracle.consumers(orders.name)) === 0)
  expect(await oracle.count(orders.name)).toBe(1)
  await expect(both.subscribe({ destination: orders }, () => {}, options)).rejects.toMatchObject({
    code: 'CLOSED',
  })
})

test('a broker that falls silent ends a pending subscribe with its time', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const both = driver({ url: proxy.through(broker.url) })
  const inbox = await consume(both, orders)
  proxy.down.hold()
  const options = { ...within(200), prefetch: 1 }
  await expect(both.subscribe({ destination: orders }, () => {}, options)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'no-answer',
  })
  await inbox.subscription.close(within(200))
  expect(await inbox.subscription.ended).toBeUndefined()
})

test('the queue is deleted: the subscription ends, and can be had again', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const both = driver()
  const inbox = await consume(both, orders)
  await oracle.remove(orders.name)
  expect(await inbox.subscription.ended).toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'cancelled',
    retryable: true,
  })
  await publishOne(both, orders, 'new')
  const again = await consume(both, orders)
  expect((await again.has(1)).map(idOf)).toEqual(['new'])
})

test('what cannot be had is refused: from earliest, a queue that is not there and may not be made', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination } = await place(context)
  const orders = destination()
  const options = { ...within(5_000), prefetch: 1 }
  await expect(
    driver().subscribe({ destination: orders }, () => {}, { ...options, from: 'earliest' }),
  ).rejects.toMatchObject({ code: 'UNSUPPORTED' })
  await expect(
    driver({ topology: 'none' }).subscribe({ destination: orders }, () => {}, options),
  ).rejects.toMatchObject({ code: 'UNROUTABLE', reason: 'no-queue' })
})

test('two groups get everything; members of one share it', { tags: ['broker'] }, async (context) => {
  const { driver, destination } = await place(context)
  const orders = destination('orders', ['audit', 'billing'])
  const both = driver({ groups: ['audit', 'billing'] })
  const audit = await consume(both, orders, { group: 'audit', prefetch: 50 })
  const billing = [
    await consume(driver(), orders, { group: 'billing', prefetch: 1 }),
    await consume(both, orders, { group: 'billing', prefetch: 1 }),
  ]
  await publish(both, numbered(orders, 20))
  await audit.has(20)
  const handled: string[] = []
  await eventually(async () => {
    for (const member of billing) {
      for (const delivery of member.deliveries.splice(0)) {
        handled.push(idOf(delivery))
        await delivery.ack()
      }
    }
    return handled.length === 20
  })
  expect(new Set(handled)).toEqual(new Set(audit.deliveries.map(idOf)))
})

test('what others put there arrives, whatever its headers', { tags: ['broker'] }, async (context) => {
  const { driver, destination, exchange, raw } = await place(context)
  const orders = destination()
  const inbox = await consume(driver(), orders)
  const { channel } = await raw()
  const headers = { number: 1, nothing: null, table: { a: [1] }, '__proto__ ': 'x' }
  channel.publish(exchange, orders.name, Buffer.from('not json'), { headers })
  const [delivery] = await inbox.has(1)
  expect(delivery?.headers).toEqual({ number: '1', nothing: '', table: '{"a":[1]}' })
  expect(await delivery?.ack()).toBe(true)
})

test('from emit to handler and to the dead letter, through core', { tags: ['broker'] }, async (context) => {
  const { url, exchange, destination, oracle } = await place(context)
  const { topic, name } = destination()
  const dead = `${topic}.dead.info`
  for (const priority of PRIORITIES) {
    for (const each of [topic, `${topic}.dead`]) {
      context.onTestFinished(() => oracle.remove(`${each}.${priority.toLowerCase()}`))
    }
  }
  const driver = rabbit({ url, exchange })
  const notifier = createNotifier({ publisherId: 'shop', driver, topics: [topic] })
  const handled: unknown[] = []
  const listener = createListener({
    driver,
    topics: [topic],
    attempts: { max: 1 },
    onFailure: () => {},
    handlers: [
      {
        handle({ payload }) {
          if ('bad' in payload) throw new Error('cannot')
          handled.push(payload)
        },
      },
    ],
  })
  await listener.start()
  await notifier.info('order.placed', { order_id: 12 })
  await notifier.info('order.placed', { bad: true })
  await eventually(async () => handled.length === 1 && (await oracle.count(dead)) === 1)
  await listener.stop()
  await notifier.close()
  expect(handled).toEqual([{ order_id: 12 }])
  expect(await oracle.count(name)).toBe(0)
  const [letter] = await oracle.read(dead)
  expect(letter?.body.toString()).toContain('"bad":true')
})

/** Run by a process of its own, where nothing else is that could keep it. */
const PROGRAM = `
import { rabbit } from '@notify/rabbit'
const [url, exchange, name] = process.argv.slice(-3)
const destination = { topic: name.split('.')[0], priority: 'INFO', name }
const call = { timeoutMs: 5_000, signal: new AbortController().signal }
const driver = rabbit({ url, exchange })
const body = new Uint8Array(10)
const batch = Array.from({ length: 50 }, (_, index) => {
  const id = String(index)
  return { id, dedupId: id, destination, body, contentType: 'text/plain', headers: {} }
})
let settled = 0
await new Promise((resolve) => driver.publish(batch, () => ++settled === 50 && resolve(), call))
let received = 0
const { promise, resolve } = Promise.withResolvers()
const subscription = await driver.subscribe({ destination }, () => ++received === 20 && resolve(), { ...call, prefetch: 20 })
await promise
const { ok } = await driver.health(call)
await driver.close(call)
const left = process.getActiveResourcesInfo().filter((each) => each !== 'PipeWrap' && each !== 'TTYWrap')
console.log(JSON.stringify({ settled, received, ok, ended: (await subscription.ended) ?? null, left }))
`

test('closed: no socket, timer or listener is left, and the process ends', {
  tags: ['broker'],
}, async (context) => {
  const { url, exchange, destination } = await place(context)
  const { name } = destination()
  const args = ['--input-type=module', '--eval', PROGRAM, '--', url, exchange, name]
  const cwd = new URL('..', import.meta.url)
  const { stdout, stderr, status } = await run(process.execPath, args, cwd)
  expect([status, stderr]).toEqual([0, ''])
  expect(JSON.parse(stdout)).toEqual({ settled: 50, received: 20, ok: true, ended: null, left: [] })
})

async function run(
  program: string,
  args: readonly string[],
  cwd: URL,
): Promise<{ stdout: string; stderr: string; status: unknown }> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'], timeout: 15_000 })
  const [stdout, stderr, [status]] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, 'close'),
  ])
  return { stdout, stderr, status }
}
