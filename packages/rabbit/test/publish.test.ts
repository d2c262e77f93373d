import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, openProxy, requireBroker } from '@notify/brokers'
import type { Failure, Status } from '@notify/core'
import { credentials } from 'amqplib'
import { expect, type TestContext, test } from 'vitest'
import { outbound, type Place, placeAt, publish, publishOne, textOf, within } from './support.ts'

const place = async (context: TestContext): Promise<Place> =>
  placeAt(context, await requireBroker(context, 'rabbit'))

/** A host that accepts and says nothing, in a process of its own, so that its end of the socket is not counted. */
const SILENT = `
import { createServer } from 'node:net'
const server = createServer((socket) => socket.on('error', () => {}))
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
`

const LOST = { code: 'UNAVAILABLE', retryable: true, maybeSent: true }

test('what is confirmed is in a durable queue of the destination’s name, bytes and properties with it', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const message = outbound(orders, 'id-1', { headers: { CC: 'x', tenant: 'é' }, key: 'k' })
  expect(await publish(driver(), [message])).toEqual(['confirmed'])
  const [stored, ...more] = await oracle.read(orders.name)
  expect(more).toEqual([])
  expect(stored).toMatchObject({ id: 'id-1', routingKey: orders.name })
  expect(stored?.properties).toMatchObject({ deliveryMode: 2, contentType: 'application/json' })
  expect(stored?.properties.headers).toMatchObject({ 'notify-h-CC': 'x', tenant: 'é', 'notify-key': 'k' })
  expect(stored?.body).toEqual(Buffer.from(message.body))
})

test('a large batch is confirmed message by message, none twice', { tags: ['broker'] }, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const batch = Array.from({ length: 500 }, (_, index) => outbound(orders, `id-${index}`))
  batch.push(outbound(orders, 'large', { body: new Uint8Array(300_000) }))
  expect(new Set(await publish(driver(), batch))).toEqual(new Set(['confirmed']))
  expect(await oracle.count(orders.name)).toBe(501)
})

test('groups have queues of their own before anybody consumes; dead topics have the default one', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination('orders', ['billing'])
  const dead = { ...destination('x'), topic: `${orders.topic}.dead` }
  const both = driver({ groups: [null, 'billing'] })
  expect(await publishOne(both, orders)).toBe('confirmed')
  expect(await publishOne(both, dead)).toBe('confirmed')
  expect(await oracle.count(orders.name)).toBe(1)
  expect(await oracle.count(`${orders.name}@billing`)).toBe(1)
  expect(await oracle.exists(`${dead.name}@billing`)).toBe(false)
})

test('nothing takes it, topology none: UNROUTABLE, though the broker confirms', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, exchange, raw } = await place(context)
  const { channel } = await raw()
  await channel.assertExchange(exchange, 'topic', { durable: true })
  expect(await publishOne(driver({ topology: 'none' }), destination())).toMatchObject({
    code: 'UNROUTABLE',
    reason: 'no-route',
    retryable: false,
    maybeSent: false,
    scope: 'destination',
  })
})

test('one id to two destinations on one channel: only the one without a queue fails', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const [orders, stock] = [destination('orders'), destination('stock')]
  expect(await publishOne(driver(), orders)).toBe('confirmed')
  const bare = driver({ topology: 'none' })
  const outcomes = await Promise.all([orders, stock, orders].map((each) => publishOne(bare, each, 'same')))
  expect(outcomes).toEqual(['confirmed', expect.objectContaining({ code: 'UNROUTABLE' }), 'confirmed'])
  expect(await oracle.count(orders.name)).toBe(3)
})

test('topology check: a missing queue is UNROUTABLE, and one that is there is used', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination } = await place(context)
  const [orders, stock] = [destination('orders'), destination('stock')]
  expect(await publishOne(driver(), orders)).toBe('confirmed')
  const checking = driver({ topology: 'check' })
  expect(await publishOne(checking, orders)).toBe('confirmed')
  expect(await publishOne(checking, stock)).toMatchObject({ code: 'UNROUTABLE', reason: 'no-queue' })
  expect(await publishOne(checking, orders)).toBe('confirmed')
})

test('a queue that is deleted meanwhile is declared again by the next call', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const declaring = driver()
  await publishOne(declaring, orders)
  await oracle.remove(orders.name)
  expect(await publishOne(declaring, orders)).toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'queue-gone',
    maybeSent: false,
  })
  expect(await publishOne(declaring, orders)).toBe('confirmed')
})

test('no exchange, topology none: UNROUTABLE, and the next call finds a channel', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, exchange, raw } = await place(context)
  const orders = destination()
  const bare = driver({ topology: 'none' })
  expect(await publishOne(bare, orders)).toMatchObject({
    code: 'UNROUTABLE',
    reason: 'no-exchange',
    maybeSent: false,
  })
  const { channel } = await raw()
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertQueue(orders.name)
  await channel.bindQueue(orders.name, exchange, orders.name)
  expect(await publishOne(bare, orders)).toBe('confirmed')
})

test('a full queue: THROTTLED, not stored there, and space is found again', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, exchange, oracle, raw } = await place(context)
  const orders = destination()
  const { channel } = await raw()
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertQueue(orders.name, { arguments: { 'x-max-length': 1, 'x-overflow': 'reject-publish' } })
  await channel.bindQueue(orders.name, exchange, orders.name)
  const bare = driver({ topology: 'none' })
  const full = {
    code: 'THROTTLED',
    reason: 'queue-full',
    retryable: true,
    maybeSent: true,
    scope: 'destination',
  }
  expect(await publishOne(bare, orders, 'first')).toBe('confirmed')
  // More than a channel is trusted with, so the last ones go over a new channel.
  for (let index = 0; index < 55; index++) expect(await publishOne(bare, orders)).toMatchObject(full)
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(['first'])
  expect(await publishOne(bare, orders)).toBe('confirmed')
})

test('one group of two is full: THROTTLED, and what the other has kept is not denied', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, exchange, oracle, raw } = await place(context)
  const orders = destination('orders', ['billing'])
  const both = driver()
  await publishOne(both, orders, 'first')
  const { channel } = await raw()
  const full = `${orders.name}@billing`
  await channel.assertQueue(full, { arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } })
  await channel.bindQueue(full, exchange, orders.name)
  expect(await publishOne(both, orders, 'second')).toMatchObject({ code: 'THROTTLED', maybeSent: true })
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(['first', 'second'])
})

test('what is there differs: CONFLICT, for that destination alone', { tags: ['broker'] }, async (context) => {
  const { driver, destination, raw } = await place(context)
  const [orders, stock] = [destination('orders'), destination('stock')]
  await (await raw()).channel.assertQueue(orders.name)
  const declaring = driver()
  const [conflict, confirmed] = await Promise.all([
    publishOne(declaring, orders),
    publishOne(declaring, stock),
  ])
  expect(conflict).toMatchObject({
    code: 'CONFLICT',
    reason: 'arguments',
    scope: 'destination',
    maybeSent: false,
  })
  expect(confirmed).toBe('confirmed')
})

test('a wrong password: UNAUTHENTICATED, and it is nowhere to be read', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, url } = await place(context)
  const wrong = new URL(url)
  wrong.password = 'hunter2'
  const refused = driver({ url: wrong.href })
  const outcome = (await publishOne(refused, destination())) as Failure
  expect(outcome).toMatchObject({
    code: 'UNAUTHENTICATED',
    reason: 'credentials',
    retryable: false,
    scope: 'transport',
  })
  const { failure } = await refused.health(within(5_000))
  expect(failure?.code).toBe('UNAUTHENTICATED')
  expect(textOf([outcome, failure])).not.toContain('hunter2')
})

test('an unknown vhost: FORBIDDEN', { tags: ['broker'] }, async (context) => {
  const { driver, destination, url } = await place(context)
  const elsewhere = new URL(url)
  elsewhere.pathname = '/nowhere'
  expect(await publishOne(driver({ url: elsewhere.href }), destination())).toMatchObject({
    code: 'FORBIDDEN',
    reason: 'vhost',
  })
})

test('TLS on a plain port: UNAUTHENTICATED, never plain instead', { tags: ['broker'] }, async (context) => {
  const { driver, destination, url } = await place(context)
  const tls = driver({ url: url.replace(/^amqp:/, 'amqps:') })
  const outcome = (await publishOne(tls, destination())) as Failure
  expect([outcome.code, outcome.reason, (outcome.cause as { code?: string }).code]).toEqual([
    'UNAUTHENTICATED',
    'tls',
    expect.stringMatching(/SSL|EPROTO/),
  ])
})

test('a host that is down is passed over, and one alone is UNAVAILABLE at once', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, url } = await place(context)
  const dead = 'amqp://user:hunter2@127.0.0.1:1'
  const orders = destination()
  const outcome = await publishOne(driver({ url: dead }), orders)
  expect(outcome).toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'unreachable',
    retryable: true,
    maybeSent: false,
  })
  expect(textOf(outcome)).not.toContain('hunter2')
  expect(await publishOne(driver({ urls: [dead, url] }), orders)).toBe('confirmed')
})

test('one host of several is misconfigured: as long as another may come back, it is waited for', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, url } = await place(context)
  const orders = destination()
  const elsewhere = new URL(url)
  elsewhere.pathname = '/nowhere'
  const dead = 'amqp://127.0.0.1:1'
  for (const urls of [
    [dead, elsewhere.href],
    [elsewhere.href, dead],
  ]) {
    const outcome = await publishOne(driver({ urls }), orders)
    expect(outcome).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'unreachable',
      retryable: true,
      message: expect.stringMatching(
        `reached. ${elsewhere.hostname}:${elsewhere.port}: There is no such vhost`,
      ),
    })
  }
  const all = driver({ urls: [elsewhere.href, elsewhere.href] })
  expect(await publishOne(all, orders)).toMatchObject({ code: 'FORBIDDEN', retryable: false })
})

test('closed while it connects: no socket is left by then', { tags: ['broker'] }, async (context) => {
  const silent = spawn(process.execPath, ['--input-type=module', '--eval', SILENT], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  context.onTestFinished(async () => void silent.kill())
  const [port] = await once(silent.stdout, 'data')
  const sockets = () => process.getActiveResourcesInfo().filter((each) => each === 'TCPSocketWrap').length
  const { driver, destination } = await place(context)
  const connecting = driver({ url: `amqp://127.0.0.1:${Number(port)}` })
  const before = sockets()
  const pending = publishOne(connecting, destination())
  await eventually(() => sockets() > before, { what: 'it connects' })
  await connecting.close(within(100))
  expect(sockets()).toBe(before)
  expect(await pending).toMatchObject({ code: 'CLOSED', maybeSent: false })
})

test('a black hole ends with its signal, with its time, or with the time of a connect', {
  tags: ['broker'],
}, async (context) => {
  const server = createServer((socket) => socket.on('error', () => {}))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.onTestFinished(async () => void server.close())
  const { driver, destination } = await place(context)
  const url = `amqp://127.0.0.1:${(server.address() as { port: number }).port}`
  const orders = destination()
  const silent = driver({ url, connectTimeoutMs: 60_000 })
  const abort = new AbortController()
  const publishing = publish(silent, [outbound(orders)], within(60_000, abort.signal))
  abort.abort({ code: 'DEADLINE', retryable: false, maybeSent: true, scope: 'message' })
  expect(await publishing).toEqual([expect.objectContaining({ code: 'DEADLINE', maybeSent: false })])
  expect(await publish(silent, [outbound(orders)], within(50))).toEqual([
    expect.objectContaining({ code: 'UNAVAILABLE', reason: 'no-answer', maybeSent: false }),
  ])
  expect(await publishOne(driver({ url, connectTimeoutMs: 100 }), orders)).toMatchObject({
    reason: 'connect-timeout',
  })
  expect(await silent.health(within(50))).toMatchObject({ ok: false, failure: { code: 'UNAVAILABLE' } })
})

test('the answer is lost with the connection: maybeSent, it is there, and the next call connects again', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const through = driver({ url: proxy.through(broker.url) })
  const states: Status[] = []
  through.observe((status) => states.push(status))
  const orders = destination()
  expect(await publishOne(through, orders, 'first')).toBe('confirmed')
  const cut = proxy.down.cutBefore('\x00\x3c\x00\x50')
  const lost = await publishOne(through, orders, 'second')
  await cut
  expect(lost).toMatchObject({ ...LOST, scope: 'transport' })
  expect(await publishOne(through, orders, 'third')).toBe('confirmed')
  expect(states.map(({ state }) => state)).toEqual(['down', 'up'])
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(['first', 'second', 'third'])
})

test('what waits for an answer ends with its signal: one listener, and maybeSent', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const through = driver({ url: proxy.through(broker.url) })
  const orders = destination()
  await publishOne(through, orders)
  proxy.down.hold()
  const abort = new AbortController()
  let listeners = 0
  const add = abort.signal.addEventListener.bind(abort.signal)
  abort.signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  const call = within(60_000, abort.signal)
  const calls = Array.from({ length: 20 }, () => publish(through, [outbound(orders), outbound(orders)], call))
  abort.abort({ code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' })
  const outcomes = (await Promise.all(calls)).flat()
  expect(outcomes).toHaveLength(40)
  for (const outcome of outcomes) expect(outcome).toMatchObject({ code: 'ABORTED', maybeSent: true })
  expect(listeners).toBe(1)
  expect(await publish(through, [outbound(orders)], call)).toEqual([
    expect.objectContaining({ code: 'ABORTED', maybeSent: false }),
  ])
  proxy.down.release()
  expect(await publishOne(through, orders)).toBe('confirmed')
})

test('what cannot be sent is refused alone: header tables, sizes', { tags: ['broker'] }, async (context) => {
  const { driver, destination } = await place(context)
  const orders = destination()
  const headers = Object.fromEntries(
    Array.from({ length: 700 }, (_, index) => [`h${index}`, 'x'.repeat(100)]),
  )
  const batch = [
    outbound(orders),
    outbound(orders, 'headers', { headers }),
    outbound(orders, 'body', { body: new Uint8Array(200_000) }),
    outbound(orders),
  ]
  expect(await publish(driver({ maxMessageBytes: 150_000 }), batch)).toEqual([
    'confirmed',
    expect.objectContaining({ code: 'TOO_LARGE', reason: 'headers', scope: 'message' }),
    expect.objectContaining({ code: 'TOO_LARGE', reason: 'message-bytes' }),
    'confirmed',
  ])
})

test('larger than the broker takes: TOO_LARGE for it, and the rest may be tried again', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  if (broker.version.startsWith('3.')) context.skip('RabbitMQ 3 takes 128 MiB')
  const { driver, destination } = placeAt(context, broker)
  const orders = destination()
  const generous = driver({ maxMessageBytes: 32 * 2 ** 20 })
  const large = outbound(orders, 'large', { body: new Uint8Array(17 * 2 ** 20) })
  const [alone] = await publish(generous, [large])
  expect(alone).toMatchObject({
    code: 'TOO_LARGE',
    reason: 'message-bytes',
    maybeSent: false,
    scope: 'message',
  })
  expect(await publishOne(generous, orders)).toBe('confirmed')
})

test('after close: CLOSED; what was pending is settled, at the latest when the signal fires', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const graceful = driver()
  const pending = publishOne(graceful, orders)
  await Promise.all([graceful.close(within(5_000)), graceful.close(within(5_000))])
  expect(await pending).toBe('confirmed')
  expect(await publishOne(graceful, orders)).toMatchObject({ code: 'CLOSED', maybeSent: false })
  expect(await graceful.health(within(100))).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })

  const silenced = driver({ url: proxy.through(broker.url) })
  await publishOne(silenced, orders)
  proxy.down.hold()
  const held = publishOne(silenced, orders)
  await silenced.close({ timeoutMs: 60_000, signal: AbortSignal.timeout(100) })
  expect(await held).toMatchObject({ code: 'CLOSED', maybeSent: true })
})

test('ready connections are used, and left open', { tags: ['broker'] }, async (context) => {
  const { driver, destination, raw } = await place(context)
  const { connection } = await raw()
  const before = ['error', 'close', 'blocked', 'unblocked'].map((event) => connection.listenerCount(event))
  const orders = destination()
  const lent = driver({ connection })
  expect(await publishOne(lent, orders)).toBe('confirmed')
  await lent.close(within(5_000))
  expect(['error', 'close', 'blocked', 'unblocked'].map((event) => connection.listenerCount(event))).toEqual(
    before,
  )
  await (await connection.createChannel()).checkQueue(orders.name)
  const both = driver({ connection: { publish: connection, consume: connection } })
  expect(await publishOne(both, orders)).toBe('confirmed')
  await connection.close()
  expect(await publishOne(both, orders)).toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'lost',
    maybeSent: false,
  })
})

test('health: fine; a queue that fills without a consumer; a queue that is gone', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination, oracle } = await place(context)
  const orders = destination()
  const filling = driver()
  await publish(
    filling,
    Array.from({ length: 1_000 }, () => outbound(orders)),
  )
  await eventually(async () => (await oracle.count(orders.name)) === 1_000)
  const { ok, warnings } = await filling.health(within(5_000))
  expect([ok, warnings.filter((each) => each.includes(orders.name))]).toEqual([
    true,
    [`Nobody consumes ${orders.name}, which holds 1000 messages.`],
  ])
  await oracle.remove(orders.name)
  expect((await filling.health(within(5_000))).warnings).toContain(`There is no queue ${orders.name}.`)
})

test('health under a broker that is slow: an answer in time, and the connection goes on', {
  tags: ['broker', 'slow'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const through = driver({ url: proxy.through(broker.url) })
  await publishOne(through, orders, 'first')
  const states: Status[] = []
  through.observe((status) => states.push(status))
  // Its channel is open, and its look at the queue is not answered.
  const opened = proxy.down.passes('\x00\x14\x00\x0b').then(() => proxy.down.hold())
  const asking = through.health(within(300))
  await opened
  const held = publishOne(through, orders, 'held')
  expect(await asking).toMatchObject({ ok: false, failure: { code: 'UNAVAILABLE', reason: 'no-answer' } })
  // Longer than a channel that consumes may take to close.
  await sleep(6_500)
  proxy.down.release()
  expect(await held).toBe('confirmed')
  expect(states).toEqual([])
  expect((await through.health(within(5_000))).ok).toBe(true)
  expect((await oracle.read(orders.name)).map(({ id }) => id)).toEqual(['first', 'held'])
})

test('a queue that another connection has for itself: CONFLICT', { tags: ['broker'] }, async (context) => {
  const { driver, destination, exchange, raw } = await place(context)
  const orders = destination()
  const { connection, channel } = await raw()
  await channel.assertExchange(exchange, 'topic', { durable: true })
  await channel.assertQueue(orders.name, { exclusive: true })
  expect(await publishOne(driver({ topology: 'check' }), orders)).toMatchObject({
    code: 'CONFLICT',
    reason: 'locked',
  })
  await connection.close()
})

test('a way to authenticate that the broker does not offer: UNAUTHENTICATED', {
  tags: ['broker'],
}, async (context) => {
  const { driver, destination } = await place(context)
  const external = driver({ socket: { credentials: credentials.external() } })
  expect(await publishOne(external, destination())).toMatchObject({
    code: 'UNAUTHENTICATED',
    reason: 'mechanism',
  })
})

test('a bit that turns on the wire: UNAVAILABLE, and the next call connects', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const through = driver({ url: proxy.through(broker.url) })
  await publishOne(through, orders)
  // The first byte of the next frame, its type.
  const flipped = proxy.up.flipBit(1)
  const outcome = await publishOne(through, orders)
  await flipped
  expect(outcome).toMatchObject({ code: 'UNAVAILABLE', retryable: true, maybeSent: true })
  expect(await publishOne(through, orders)).toBe('confirmed')
})
