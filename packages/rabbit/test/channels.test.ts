/** What a real broker does only now and then, by a client that does it when told. */
import { EventEmitter } from 'node:events'
import type { Delivery } from '@notify/core'
import { expect, test, vi } from 'vitest'
import type { Connection } from '../src/index.ts'
import { rabbit } from '../src/index.ts'
import { outbound, publish, publishOne, within } from './support.ts'

const orders = { topic: 'orders', priority: 'INFO', name: 'orders.info' } as const

type Answer = (error: Error | null) => void

/** A channel that answers nothing by itself. */
class FakeChannel extends EventEmitter {
  readonly published: { name: string; id: string; answer: Answer }[] = []
  closed = false
  consume: (queue: string, onMessage: (message: object | null) => void) => Promise<unknown> = () =>
    new Promise(() => {})
  /** The tags of what was acknowledged, and whether with all before. */
  readonly acked: [tag: number, all: boolean][] = []

  publish(
    _exchange: string,
    name: string,
    _body: Buffer,
    { messageId }: { messageId: string },
    answer: Answer,
  ) {
    if (this.closed) throw Object.assign(new Error('Channel closed'), { name: 'IllegalOperationError' })
    this.published.push({ name, id: messageId, answer })
    return true
  }

  ack({ fields }: { fields: { deliveryTag: number } }, all: boolean): void {
    this.acked.push([fields.deliveryTag, all])
  }

  async prefetch(): Promise<void> {}

  cancel: () => Promise<unknown> = async () => {}

  async close(): Promise<void> {
    this.end()
  }

  end(error?: Error): void {
    this.closed = true
    if (error !== undefined) this.emit('error', error)
    for (const { answer } of this.published.splice(0)) answer(new Error('channel closed'))
    this.emit('close')
  }
}

class FakeConnection extends EventEmitter {
  readonly channels: FakeChannel[] = []
  readonly connection = { serverProperties: { version: '3.12.1' } }
  onPublish: (channel: FakeChannel) => void = () => {}

  async createChannel(): Promise<FakeChannel> {
    const channel = new FakeChannel()
    this.channels.push(channel)
    return channel
  }

  createConfirmChannel(): Promise<FakeChannel> {
    return this.createChannel()
  }
}

function fake() {
  const connection = new FakeConnection()
  const driver = rabbit({ connection: connection as unknown as Connection, topology: 'none' })
  return { connection, driver }
}

/** Answers what is written to the newest channel, once it is. */
async function answerNext(connection: FakeConnection, error: Error | null): Promise<FakeChannel> {
  for (;;) {
    const channel = connection.channels.at(-1)
    const next = channel?.published.shift()
    if (channel !== undefined && next !== undefined) {
      next.answer(error)
      return channel
    }
    await new Promise(setImmediate)
  }
}

async function written({ channels }: FakeConnection, count: number): Promise<void> {
  while (channels[0]?.published.length !== count) await new Promise(setImmediate)
}

const NACK = new Error('message nacked')

test('two nacks on a channel that has confirmed nothing: the next message goes over a new one', async () => {
  const { connection, driver } = fake()
  for (const count of [1, 1, 2, 2, 3]) {
    const outcome = publishOne(driver, orders)
    await answerNext(connection, NACK)
    expect(await outcome).toMatchObject({ code: 'THROTTLED', maybeSent: true })
    expect(connection.channels).toHaveLength(count)
  }
  expect(connection.channels.map(({ closed }) => closed)).toEqual([true, true, false])
})

test('fifty in a row on one that has; a confirm in between, and they are counted anew', async () => {
  const { connection, driver } = fake()
  for (let index = 0; index < 101; index++) {
    const outcome = publishOne(driver, orders)
    await answerNext(connection, index === 0 || index === 50 ? null : NACK)
    await outcome
  }
  expect(connection.channels.map(({ closed }) => closed)).toEqual([true])
})

test('what is still open on a channel that is left may be confirmed, and then it is closed', async () => {
  const { connection, driver } = fake()
  const slow = publishOne(driver, orders, 'slow')
  const nacked = [publishOne(driver, orders), publishOne(driver, orders)]
  await written(connection, 3)
  const [first] = connection.channels as [FakeChannel]
  const [open, ...rest] = first.published.splice(0)
  for (const { answer } of rest) answer(NACK)
  await Promise.all(nacked)
  expect(first.closed).toBe(false)
  const other = publishOne(driver, orders)
  await answerNext(connection, null)
  expect(await other).toBe('confirmed')
  expect(connection.channels).toHaveLength(2)
  open?.answer(null)
  expect(await slow).toBe('confirmed')
  expect(first.closed).toBe(true)
})

test('a return that may belong to a later attempt of the same id: neither is confirmed, and it may be tried again', async () => {
  const { connection, driver } = fake()
  const abort = new AbortController()
  const first = publish(driver, [outbound(orders, 'same')], within(60_000, abort.signal))
  await written(connection, 1)
  abort.abort({ code: 'DEADLINE', retryable: false, maybeSent: false, scope: 'message' })
  expect(await first).toEqual([expect.objectContaining({ code: 'DEADLINE', maybeSent: true })])
  const second = publishOne(driver, orders, 'same')
  await written(connection, 2)
  connection.channels[0]?.emit('return', {
    fields: { routingKey: orders.name },
    properties: { messageId: 'same' },
  })
  // The later one is answered first: the other still waits for a majority of its queue.
  connection.channels[0]?.published.pop()?.answer(null)
  const doubtful = { code: 'UNAVAILABLE', retryable: true, maybeSent: true, scope: 'destination' }
  expect(await second).toMatchObject(doubtful)
  const third = publishOne(driver, orders, 'same')
  await written(connection, 2)
  await answerNext(connection, null)
  await answerNext(connection, null)
  expect(await third).toBe('confirmed')
})

test('a return that comes before the next attempt of the same id leaves that alone', async () => {
  const { connection, driver } = fake()
  const returned = () =>
    connection.channels[0]?.emit('return', {
      fields: { routingKey: orders.name },
      properties: { messageId: 'same' },
    })
  const abort = new AbortController()
  const first = publish(driver, [outbound(orders, 'same')], within(60_000, abort.signal))
  await written(connection, 1)
  abort.abort({ code: 'DEADLINE', retryable: false, maybeSent: false, scope: 'message' })
  await first
  returned()
  const second = publishOne(driver, orders, 'same')
  await written(connection, 2)
  await answerNext(connection, null)
  await answerNext(connection, null)
  expect(await second).toBe('confirmed')
  const third = publishOne(driver, orders, 'same')
  await written(connection, 1)
  returned()
  await answerNext(connection, null)
  expect(await third).toMatchObject({ code: 'UNROUTABLE', maybeSent: false })
})

test('the broker closes a channel for one of many: the others may be tried again, on a new channel', async () => {
  const { connection, driver } = fake()
  const size = 1_000
  const batch = [
    outbound(orders),
    outbound(orders, 'large', { body: new Uint8Array(size) }),
    outbound(orders),
  ]
  const outcomes = publish(driver, batch)
  await written(connection, 3)
  const text = `PRECONDITION_FAILED - message size ${size} is larger than configured max size 900`
  connection.channels[0]?.end(Object.assign(new Error(text), { code: 406 }))
  const innocent = {
    code: 'UNAVAILABLE',
    reason: 'channel-lost',
    retryable: true,
    maybeSent: true,
    scope: 'message',
  }
  expect(await outcomes).toMatchObject([innocent, { code: 'TOO_LARGE', maybeSent: false }, innocent])
  const next = publishOne(driver, orders)
  await answerNext(connection, null)
  expect(await next).toBe('confirmed')
  expect(connection.channels).toHaveLength(2)
})

test('a consume that is never answered ends with its time, and its channel is closed', async () => {
  const { connection, driver } = fake()
  const options = { ...within(20), prefetch: 1 }
  await expect(driver.subscribe({ destination: orders }, () => {}, options)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
    reason: 'no-answer',
    retryable: true,
  })
  expect(connection.channels.map(({ closed }) => closed)).toEqual([true])
})

test('a connection that was passed in and has fallen silent: closed in time, and no timer is left', async () => {
  const { connection, driver } = fake()
  const silent = () => new Promise<never>(() => {})
  const created = connection.createChannel.bind(connection)
  connection.createChannel = async () =>
    Object.assign(await created(), {
      consume: async () => ({ consumerTag: 'tag' }),
      cancel: silent,
      close: silent,
    })
  const subscription = await driver.subscribe({ destination: orders }, () => {}, {
    ...within(1_000),
    prefetch: 1,
  })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  try {
    const pausing = subscription.pause()
    const closing = driver.close(within(50))
    await vi.advanceTimersByTimeAsync(100)
    await Promise.all([closing, pausing])
    expect(vi.getTimerCount()).toBe(0)
  } finally {
    vi.useRealTimers()
  }
  expect(connection.eventNames()).toEqual([])
})

test('what is settled behind one that is open goes out by itself, and the rest as one when it no longer is', async () => {
  const { connection, driver } = fake()
  const deliveries: Delivery[] = []
  const created = connection.createChannel.bind(connection)
  connection.createChannel = async () => {
    const channel = await created()
    channel.consume = async (_queue, onMessage) => {
      for (let deliveryTag = 1; deliveryTag <= 10; deliveryTag++) {
        onMessage({ content: Buffer.alloc(0), fields: { deliveryTag, redelivered: false }, properties: {} })
      }
      return { consumerTag: 'tag' }
    }
    return channel
  }
  const options = { ...within(1_000), prefetch: 10 }
  await driver.subscribe({ destination: orders }, (delivery) => deliveries.push(delivery), options)
  for (const delivery of deliveries.slice(-3)) await delivery.ack()
  const acked = connection.channels[0]?.acked
  expect(acked).toEqual([
    [8, false],
    [9, false],
    [10, false],
  ])
  await Promise.all(deliveries.map((delivery) => delivery.ack()))
  expect(acked?.at(-1)).toEqual([7, true])
})

test('a release that is out of support is a warning', async () => {
  const { driver } = fake()
  const { warnings } = await driver.health(within(1_000))
  expect(warnings).toContain('RabbitMQ 3.12.1 is out of support: run 4 or later.')
})
