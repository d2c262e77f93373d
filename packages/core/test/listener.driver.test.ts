import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Delivery, Subscription } from '../src/driver.ts'
import type { Failure } from '../src/errors.ts'
import { Reject, Requeue } from '../src/listener/control.ts'
import { Bench, broken, type ScriptedSubscription } from './support/consumer.ts'

const unhandled: unknown[] = []
const note = (reason: unknown) => void unhandled.push(reason)

beforeAll(() => void process.on('unhandledRejection', note))
afterAll(() => {
  process.off('unhandledRejection', note)
  expect(unhandled).toEqual([])
})

/** Nothing is left of it: no timer, no observer, no consumer, and the sums agree. */
async function endsClean(bench: Bench): Promise<void> {
  const report = await bench.stop()
  expect(report.pending).toBe(0)
  expect(bench.imbalance).toBe(0)
  expect(bench.clock.timers).toBe(0)
  expect(bench.driver.observers).toBe(0)
  await bench.clock.settle()
}

describe('a subscription that ends', () => {
  test('is opened again, with backoff, and its deliveries are lost', async () => {
    const bench = await new Bench({
      concurrency: 1,
      handlers: [{ priorities: ['INFO'], handle: () => new Promise(() => {}) }],
    }).start()
    bench.driver.deliver()
    bench.driver.deliver()
    const ended = bench.driver.subscription()
    ended.end(broken('UNAVAILABLE'))
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ lost: 2, pending: 0, running: 1 })
    await bench.clock.advance(100)
    expect(bench.driver.subscriptions).toHaveLength(2)
    expect(bench.driver.subscription()).not.toBe(ended)
    await endsClean(bench)
  })

  test('leaves what is being settled to its answer', async () => {
    const bench = await new Bench({}).start()
    const answered = Promise.withResolvers<boolean>()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => answered.promise
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    bench.driver.subscription().end()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ pending: 1 })
    answered.resolve(true)
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ acked: 1, lost: 0, pending: 0 })
  })

  test.each([
    ['at once, for ever', (subscription: ScriptedSubscription) => subscription.end(broken('UNAVAILABLE'))],
    ['at once, for ever, for no reason', (subscription: ScriptedSubscription) => subscription.end()],
    [
      'at once, for ever, and the driver says "up" each time',
      (subscription: ScriptedSubscription, bench: Bench) => {
        subscription.end(broken('UNAVAILABLE'))
        setImmediate(() => bench.driver.status({ state: 'up' }))
      },
    ],
  ])('%s makes no hot loop', async (_, end) => {
    const bench = new Bench({})
    bench.driver.onSubscribe = (subscription) => queueMicrotask(() => end(subscription, bench))
    void bench.listener.start()
    await bench.clock.advance(100_000)
    expect(bench.driver.subscriptions.length).toBeGreaterThan(50)
    expect(bench.driver.subscriptions.length).toBeLessThan(1_100)
    await endsClean(bench)
    const { length } = bench.driver.subscriptions
    await bench.clock.advance(100_000)
    expect(bench.driver.subscriptions).toHaveLength(length)
  })

  test('after it held for a while is opened again soon', async () => {
    const bench = await new Bench({}).start()
    for (let round = 0; round < 20; round++) {
      await bench.clock.advance(20_000)
      bench.driver.subscription().end(broken('UNAVAILABLE'))
      await bench.clock.advance(101)
      expect(bench.driver.subscriptions).toHaveLength(round + 2)
    }
  })

  test('is opened again at once when the driver says that the trouble is over', async () => {
    const bench = await new Bench({ backoff: { minMs: 1, maxMs: 1_000_000 } }).start()
    bench.driver.onSubscribe = () => Promise.reject(broken('FORBIDDEN'))
    bench.driver.subscription().end(broken('FORBIDDEN', { retryAfterMs: 500_000 }))
    await bench.clock.advance(1_000)
    expect(bench.driver.subscriptions).toHaveLength(1)
    bench.driver.onSubscribe = undefined
    bench.driver.status({ state: 'up' })
    await bench.clock.advance(2)
    expect(bench.driver.subscriptions).toHaveLength(2)
  })

  test.each([
    ['rejects', () => Promise.reject(new Error('no'))],
    ['is missing', () => undefined],
    ['is no promise', () => 'now'],
    ['never settles', () => new Promise<never>(() => {})],
  ])('whose "ended" %s harms nobody', async (_, make) => {
    const bench = new Bench({})
    bench.driver.onSubscribe = (subscription) =>
      Object.assign(Object.create(subscription) as object, {
        ended: make(),
        pause: async () => {},
        close: async () => {},
      })
    void bench.listener.start()
    await bench.clock.advance(10_000)
    expect(bench.driver.subscriptions.length).toBeLessThan(200)
    await endsClean(bench)
  })
})

describe('a subscribe that', () => {
  test.each([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    ['rejects with what is no failure', () => Promise.reject('no')],
    ['resolves with nothing', () => Promise.resolve(null)],
    ['resolves with something else', () => Promise.resolve({ close: 'now' })],
  ])('%s is tried again, and start() goes on', async (_, subscribe) => {
    const bench = new Bench({})
    let started = false
    bench.driver.onSubscribe = subscribe
    void bench.listener.start().then(() => {
      started = true
    })
    await bench.clock.advance(20_000)
    expect(bench.driver.subscriptions.length).toBeGreaterThan(2)
    expect(started).toBe(false)
    bench.driver.onSubscribe = undefined
    await bench.clock.advance(10_000)
    expect(started).toBe(true)
    await endsClean(bench)
  })

  test('never answers is aborted after 30 s; what it brings later is closed', async () => {
    const bench = new Bench({})
    let late: ScriptedSubscription | undefined
    let resolve = (_: Subscription) => {}
    bench.driver.onSubscribe = (subscription) => {
      late = subscription
      bench.driver.onSubscribe = undefined
      return new Promise<Subscription>((resolve_) => {
        resolve = resolve_
      })
    }
    void bench.listener.start()
    await bench.clock.advance(30_000)
    expect(late?.options).toMatchObject({ timeoutMs: 30_000 })
    expect(late?.options.signal.reason).toMatchObject({ code: 'DEADLINE' })
    await bench.clock.advance(2_000)
    expect(bench.driver.subscriptions).toHaveLength(2)
    resolve(late as Subscription)
    late?.deliver()
    await bench.clock.settle()
    expect(late?.closed).toBe(true)
    expect(bench.listener.stats().received).toBe(0)
    expect(bench.driver.subscription().closed).toBe(false)
    await endsClean(bench)
  })

  test('delivers before it resolves is heard', async () => {
    const bench = new Bench({})
    bench.driver.onSubscribe = (subscription) => void subscription.deliver()
    await bench.start()
    expect(bench.listener.stats()).toMatchObject({ received: 1, acked: 1 })
  })

  test('delivers and then rejects: what came is lost', async () => {
    const bench = new Bench({ handlers: [{ priorities: ['INFO'], handle: () => new Promise(() => {}) }] })
    bench.driver.onSubscribe = (subscription) => {
      subscription.deliver()
      return Promise.reject(broken('UNAVAILABLE'))
    }
    void bench.listener.start()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ received: 1, lost: 1, pending: 0 })
    await endsClean(bench)
  })
})

describe('an ack that', () => {
  test.each([
    ['answers false', () => Promise.resolve(false)],
    ['answers something else', () => Promise.resolve('yes')],
    ['is no promise', () => 1],
    ['rejects', () => Promise.reject(new Error('no'))],
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
  ])('%s: the message is lost, and counted so', async (_, answer) => {
    const bench = await new Bench({}).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = answer
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ lost: 1, acked: 0, pending: 0 })
    await endsClean(bench)
  })

  test('never answers stays pending, and stop() does not wait for ever', async () => {
    const bench = await new Bench({}).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => new Promise(() => {})
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.advance(1_000)
    expect(bench.listener.stats().pending).toBe(1)
    await endsClean(bench)
    expect(bench.listener.stats()).toMatchObject({ lost: 1 })
  })

  test('never answers is lost 5 s after its subscription has ended', async () => {
    const bench = await new Bench({}).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => new Promise(() => {})
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    bench.driver.subscription().end()
    await bench.clock.advance(4_999)
    expect(bench.listener.stats().pending).toBe(1)
    await bench.clock.advance(1)
    expect(bench.listener.stats()).toMatchObject({ lost: 1, pending: 0 })
  })

  test('delivers from within itself is borne', async () => {
    const bench = await new Bench({}).start()
    const first = bench.driver.subscription().make()
    first.answer = () => {
      bench.driver.deliver()
      return Promise.resolve(true)
    }
    bench.driver.subscription().onDelivery(first)
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ received: 2, acked: 2 })
  })
})

describe('an answer that comes when all is over', () => {
  test.each([
    ['true', () => true],
    ['UNSUPPORTED', () => Promise.reject(broken('UNSUPPORTED'))],
  ])('(%s) changes nothing', async (_, late) => {
    const bench = await new Bench({
      handlers: [
        {
          priorities: ['INFO'],
          handle(n) {
            if (n.event_type === 'back') throw new Requeue()
          },
        },
      ],
    }).start()
    const answered = Promise.withResolvers<unknown>()
    const deliver = async (event_type: string) => {
      const delivery = bench.driver.subscription().make({ event_type })
      delivery.answer = () => answered.promise
      bench.driver.subscription().onDelivery(delivery)
    }
    // One is acknowledged, one given back by its handler, and one by stop().
    await deliver('ack')
    await deliver('back')
    await bench.clock.settle()
    await deliver('stop')
    const report = await bench.stop()
    expect(report).toMatchObject({ received: 3, lost: 3, pending: 0 })
    answered.resolve(late())
    await bench.clock.settle()
    expect(bench.listener.stats()).toEqual(report)
    expect(bench.clock.timers).toBe(0)
  })
})

describe('onDelivery', () => {
  test('twice with one delivery is one delivery', async () => {
    const handle = vi.fn(() => new Promise<void>((resolve) => bench.clock.setTimer(resolve, 10)))
    const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle }] }).start()
    const delivery = bench.driver.deliver()
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.advance(10)
    expect(handle).toHaveBeenCalledTimes(1)
    expect(bench.listener.stats()).toMatchObject({ received: 1, acked: 1 })
  })

  test('after the subscription has ended, or the listener stopped, is nothing', async () => {
    const bench = await new Bench({}).start()
    const ended = bench.driver.subscription()
    ended.end()
    await bench.clock.advance(200)
    ended.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats().received).toBe(0)
    await endsClean(bench)
    bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats().received).toBe(0)
  })

  test.each([undefined, null, 'x', 7, {}, { body: 'text' }])('with %s is nothing', async (garbage) => {
    const bench = await new Bench({}).start()
    bench.driver.subscription().onDelivery(garbage as unknown as Delivery)
    await bench.clock.settle()
    expect(bench.listener.stats().received).toBe(0)
  })

  test('with something that has bytes and nothing else is a dead letter, and lost since it has no ack', async () => {
    const bench = await new Bench({}).start()
    const garbage = { body: new Uint8Array(), headers: null, key: 5, deliveries: '3' }
    bench.driver.subscription().onDelivery(garbage as unknown as Delivery)
    await bench.clock.advance(1_000)
    expect(bench.driver.published).toHaveLength(1)
    expect(bench.listener.stats()).toMatchObject({ received: 1, lost: 1 })
    await endsClean(bench)
  })

  test('beyond prefetch is handled all the same', async () => {
    const bench = await new Bench({}).start()
    for (let index = 0; index < 200; index++) bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ received: 200, acked: 200 })
  })
})

describe('a driver that', () => {
  test('cannot be observed, paused, closed or asked for its health harms nobody', async () => {
    const bench = new Bench({})
    const no = () => {
      throw new Error('no')
    }
    Object.assign(bench.driver, { observe: no, onClose: no, onHealth: no })
    bench.driver.onSubscribe = (subscription) =>
      Object.assign(subscription, { pause: no, close: () => Promise.reject(new Error('no')) })
    await bench.start()
    const health = bench.listener.health()
    await bench.clock.settle()
    expect(await health).toMatchObject({ ok: false, failure: { code: 'UNKNOWN' } })
    bench.driver.deliver()
    await endsClean(bench)
  })

  test('hangs in everything is left alone when the time is up', async () => {
    const hang = () => new Promise<never>(() => {})
    const bench = new Bench({ handlers: [{ priorities: ['INFO'], handle: hang }] })
    bench.driver.onSubscribe = (subscription) => Object.assign(subscription, { pause: hang, close: hang })
    Object.assign(bench.driver, { close: hang, health: hang })
    await bench.start()
    bench.driver.deliver()
    bench.driver.deliver()
    await bench.clock.settle()
    const health = bench.listener.health({ timeoutMs: 100 })
    await bench.clock.advance(100)
    expect(await health).toMatchObject({ ok: false, failure: { code: 'DEADLINE' } })
    const stopped = vi.fn()
    void bench.listener.stop({ timeoutMs: 1_000 }).then(stopped)
    await bench.clock.advance(999)
    expect(stopped).not.toHaveBeenCalled()
    await bench.clock.advance(201)
    expect(stopped).toHaveBeenCalledWith(expect.objectContaining({ pending: 0, lost: 2, running: 2 }))
    expect(bench.clock.timers).toBe(0)
  })

  test('settles what nobody gave it, or twice, changes nothing', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Reject('no')) }],
    }).start()
    bench.driver.onPublish = ([message], settle) => {
      settle({} as never)
      settle({ ...(message as object) } as never)
      settle(message as never)
      settle(message as never, broken('UNAVAILABLE'))
      settle(message as never)
    }
    const delivery = bench.driver.deliver()
    await bench.clock.advance(10_000)
    expect(delivery.acks).toBe(1)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })
})

describe('hooks that throw', () => {
  test('crash nothing', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    const hook = () => {
      throw new Error('hook')
    }
    const bench = await new Bench({
      onFailure: hook,
      onStatus: hook,
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Reject('no')) }],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    bench.driver.subscription().end(broken('UNAVAILABLE') as Failure)
    await endsClean(bench)
    expect(bench.listener.stats()).toMatchObject({ dead: 1 })
    expect(error.mock.calls.length).toBeGreaterThan(1)
    error.mockRestore()
  })

  test('are told of the failures of handlers on stderr where there are none, a line a second', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    const bench = await new Bench({
      onFailure: undefined,
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Reject('no')) }],
    }).start()
    for (let index = 0; index < 5; index++) bench.driver.deliver()
    await bench.clock.settle()
    await bench.stop()
    expect(error.mock.calls.map(([line]) => line)).toEqual([
      expect.stringMatching(
        /^notify: INVALID \(no\): test\.happened \([0-9a-f-]{36}\) of notifications\.info was given up after 1 attempt of its handler\. Cause: Reject: no$/,
      ),
      'notify: 4 more of INVALID',
    ])
    error.mockRestore()
  })
})
