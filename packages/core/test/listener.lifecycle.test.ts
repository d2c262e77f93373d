import { describe, expect, test, vi } from 'vitest'
import type { Subscription } from '../src/driver.ts'
import { isNotifyError } from '../src/errors.ts'
import { Reject } from '../src/listener/control.ts'
import { createListener } from '../src/listener/listener.ts'
import { FakeClock } from './support/clock.ts'
import { Bench, broken, ScriptedConsumer } from './support/consumer.ts'

const hang = () => new Promise<never>(() => {})
const handlers = [{ priorities: ['INFO', 'WARN'] as const, handle() {} }]

/** How a promise stands when nothing more happens by itself. */
async function stateOf(promise: Promise<unknown>): Promise<unknown> {
  let state: unknown = 'pending'
  promise.then(
    () => {
      state = 'resolved'
    },
    (error: unknown) => {
      state = error
    },
  )
  await new FakeClock().microtasks()
  return state
}

describe('start()', () => {
  test('creating connects to nothing', async () => {
    const bench = new Bench({})
    await bench.clock.advance(10_000)
    expect([bench.driver.subscriptions, bench.driver.observers, bench.clock.timers]).toEqual([[], 0, 0])
  })

  test('resolves when every destination is subscribed to, and is one', async () => {
    const bench = new Bench({ handlers })
    let resolve = () => {}
    bench.driver.onSubscribe = (subscription) => {
      if (subscription.source.destination.priority === 'INFO') return undefined
      return new Promise<Subscription>((resolve_) => {
        resolve = () => resolve_(subscription)
      })
    }
    const started = bench.listener.start()
    expect(bench.listener.start()).toBe(started)
    await bench.clock.settle()
    expect(await stateOf(started)).toBe('pending')
    resolve()
    await bench.clock.settle()
    expect(await stateOf(started)).toBe('resolved')
    expect(bench.listener.start()).toBe(started)
    expect(bench.driver.subscriptions).toHaveLength(2)
    expect(bench.clock.timers).toBe(0)
  })

  test.each(['UNAVAILABLE', 'THROTTLED', 'UNKNOWN', 'TOO_LARGE', 'UNSUPPORTED', 'DEADLINE'] as const)(
    'keeps trying on %s',
    async (code) => {
      const bench = new Bench({})
      bench.driver.onSubscribe = () => Promise.reject(broken(code))
      const started = bench.listener.start()
      await bench.clock.advance(60_000)
      expect(await stateOf(started)).toBe('pending')
      expect(bench.statuses.map(({ state }) => state)).toEqual(['down'])
      bench.driver.onSubscribe = undefined
      await bench.clock.advance(11_000)
      expect(await stateOf(started)).toBe('resolved')
      expect(bench.statuses.map(({ state }) => state)).toContain('up')
    },
  )

  test.each(['UNAUTHENTICATED', 'FORBIDDEN', 'UNROUTABLE', 'CONFLICT', 'INVALID', 'CLOSED'] as const)(
    'rejects on %s, leaves nothing behind, and may be called again',
    async (code) => {
      const bench = new Bench({ handlers })
      let refuses = true
      bench.driver.onSubscribe = (subscription) => {
        if (!refuses) return undefined
        if (subscription.source.destination.priority === 'INFO') return Promise.reject(broken(code))
        subscription.deliver()
        return undefined
      }
      const started = bench.listener.start()
      await bench.clock.settle()
      expect(await stateOf(started)).toMatchObject({ name: 'NotifyError', code })
      expect(isNotifyError(await stateOf(started))).toBe(true)
      expect(bench.driver.subscriptions.map(({ over, closed }) => over || closed || 'rejected')).toEqual([
        true,
        'rejected',
      ])
      expect([bench.clock.timers, bench.driver.observers, bench.driver.closes]).toEqual([0, 0, 0])
      expect(bench.imbalance).toBe(0)
      expect(bench.listener.stats()).toMatchObject({ received: 1, pending: 0 })
      refuses = false
      const again = bench.listener.start()
      await bench.clock.settle()
      expect(await stateOf(again)).toBe('resolved')
      bench.driver.deliver()
      await bench.clock.settle()
      expect(bench.listener.stats()).toMatchObject({ received: 2, pending: 0 })
      await bench.stop()
      expect(bench.driver.closes).toBe(1)
    },
  )

  test('once it has resolved, the same are status "down", and tried again', async () => {
    const bench = await new Bench({}).start()
    bench.driver.onSubscribe = () => Promise.reject(broken('FORBIDDEN'))
    bench.driver.subscription().end(broken('FORBIDDEN'))
    await bench.clock.advance(60_000)
    expect(bench.driver.subscriptions.length).toBeGreaterThan(5)
    expect(bench.statuses).toEqual([
      { driver: 'scripted', state: 'up' },
      { driver: 'scripted', state: 'down', destination: 'notifications.info', failure: broken('FORBIDDEN') },
    ])
    bench.driver.onSubscribe = undefined
    await bench.clock.advance(10_000)
    expect(bench.statuses.at(-1)).toEqual({
      driver: 'scripted',
      state: 'up',
      destination: 'notifications.info',
    })
  })

  test('may float: its rejection ends no process', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const bench = new Bench({})
    bench.driver.onSubscribe = () => Promise.reject(broken('FORBIDDEN'))
    void bench.listener.start()
    await bench.clock.settle()
    await bench.clock.settle()
    process.off('unhandledRejection', unhandled)
    expect(unhandled).not.toHaveBeenCalled()
    expect(bench.statuses).toHaveLength(1)
  })

  test('passes on group and from, where the user said so', async () => {
    const bench = await new Bench({ group: 'g', from: 'earliest' }).start()
    expect(bench.driver.subscription()).toMatchObject({
      source: { group: 'g' },
      options: { from: 'earliest' },
    })
    const plain = await new Bench({}).start()
    expect('group' in plain.driver.subscription().source).toBe(false)
    expect('from' in plain.driver.subscription().options).toBe(false)
  })
})

describe('stop()', () => {
  test('pauses, gives back what waits, lets what runs end, closes, in this order', async () => {
    const log: string[] = []
    const bench = new Bench({
      concurrency: 1,
      handlers: [
        {
          priorities: ['INFO'],
          handle: () => new Promise<void>((resolve) => bench.clock.setTimer(resolve, 1_000)),
        },
      ],
    })
    bench.driver.onSubscribe = (subscription) => {
      const { pause, close } = subscription
      Object.assign(subscription, {
        pause() {
          log.push('pause')
          return pause.call(subscription)
        },
        close() {
          log.push('close')
          return close.call(subscription)
        },
      })
    }
    bench.driver.onClose = () => log.push('driver')
    await bench.start()
    for (const name of ['runs', 'waits']) {
      const delivery = bench.driver.subscription().make()
      delivery.onSettle = (how) => {
        log.push(`${how} ${name}`)
        return Promise.resolve(true)
      }
      bench.driver.subscription().onDelivery(delivery)
    }
    await bench.clock.settle()
    const report = await bench.stop()
    expect(log).toEqual(['pause', 'requeue waits', 'ack runs', 'close', 'driver'])
    expect(report).toMatchObject({ received: 2, acked: 1, requeued: 1, pending: 0, running: 0 })
  })

  test('takes no longer than its work', async () => {
    const bench = await new Bench({}).start()
    const stopped = bench.listener.stop()
    await bench.clock.settle()
    expect(await stateOf(stopped)).toBe('resolved')
  })

  test('gives back waiting retries; what they would have become is decided elsewhere', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Error('no')) }],
    }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    const stopped = bench.listener.stop()
    await bench.clock.settle()
    expect(await stateOf(stopped)).toBe('resolved')
    expect(delivery.requeues).toEqual([0])
    expect(bench.listener.stats()).toMatchObject({ requeued: 1, dead: 0 })
  })

  test('gives back a handler that fails while it waits, and does not run it again', async () => {
    const handle = vi.fn(
      () => new Promise((_, reject) => bench.clock.setTimer(() => reject(new Error('no')), 100)),
    )
    const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle }] }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    await bench.stop()
    expect(handle).toHaveBeenCalledTimes(1)
    expect(delivery.requeues).toEqual([0])
  })

  test('waits for a dead letter that is in flight, and for one decided meanwhile', async () => {
    const bench = await new Bench({
      handlers: [
        { priorities: ['INFO'], event_type: 'now', handle: () => Promise.reject(new Reject('no')) },
        {
          priorities: ['INFO'],
          event_type: 'later',
          handle: () => new Promise((_, reject) => bench.clock.setTimer(() => reject(new Reject('no')), 100)),
        },
      ],
    }).start()
    bench.driver.onPublish = (batch, settle) => {
      bench.clock.setTimer(() => {
        for (const message of batch) settle(message)
      }, 300)
    }
    bench.driver.deliver({ event_type: 'now' })
    bench.driver.deliver({ event_type: 'later' })
    await bench.clock.advance(10)
    expect(await bench.stop()).toMatchObject({ dead: 2, requeued: 0, pending: 0 })
  })

  test('does not wait for dead letters that cannot be written: they are given back', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Reject('no')) }],
    }).start()
    bench.driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, broken('UNAVAILABLE', { scope: 'transport' }))
    }
    const deliveries = [bench.driver.deliver(), bench.driver.deliver()]
    await bench.clock.advance(5_000)
    const stopped = bench.listener.stop()
    await bench.clock.settle()
    expect(await stateOf(stopped)).toBe('resolved')
    expect(deliveries.map(({ requeues }) => requeues.length)).toEqual([1, 1])
    expect(bench.listener.stats()).toMatchObject({ requeued: 2, dead: 0, pending: 0 })
  })

  test('gives back at once what is refused by the dead letters, or fails there while it waits', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Reject('no')) }],
    }).start()
    bench.driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, broken('INVALID', { scope: 'message' }))
    }
    bench.driver.deliver()
    await bench.clock.advance(100)
    let fail = () => {}
    bench.driver.onPublish = (batch, settle) => {
      fail = () => {
        for (const message of batch) settle(message, broken('FORBIDDEN', { scope: 'message' }))
      }
    }
    bench.driver.deliver()
    await bench.clock.settle()
    const stopped = bench.listener.stop()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ requeued: 1, pending: 1 })
    fail()
    await bench.clock.settle()
    expect(await stateOf(stopped)).toBe('resolved')
    expect(bench.listener.stats()).toMatchObject({ requeued: 2, dead: 0, pending: 0 })
    expect(bench.clock.timers).toBe(0)
  })

  test('waits for settlements that are on their way', async () => {
    const bench = await new Bench({}).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => new Promise((resolve) => bench.clock.setTimer(() => resolve(true), 500))
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    expect(await bench.stop()).toMatchObject({ acked: 1, lost: 0 })
  })

  test('with no time at all still closes in order', async () => {
    const bench = new Bench({})
    const soon = () => new Promise<void>((resolve) => bench.clock.setTimer(resolve, 50))
    const closed: string[] = []
    bench.driver.onSubscribe = (subscription) =>
      Object.assign(subscription, { close: () => soon().then(() => closed.push('subscription')) })
    bench.driver.onClose = () => soon().then(() => closed.push('driver'))
    await bench.start()
    const stopped = bench.listener.stop({ timeoutMs: 0 })
    await bench.clock.advance(60)
    expect(closed).toEqual(['subscription'])
    expect(await stateOf(stopped)).toBe('pending')
    await bench.clock.advance(50)
    expect(closed).toEqual(['subscription', 'driver'])
    expect(await stateOf(stopped)).toBe('resolved')
  })

  test('closes at once a subscription that comes while it waits', async () => {
    const bench = new Bench({ handlers: [{ priorities: ['INFO', 'WARN'], handle: hang }] })
    let resolve = () => {}
    bench.driver.onSubscribe = (subscription) => {
      if (subscription.source.destination.priority === 'INFO') return undefined
      return new Promise<Subscription>((resolve_) => {
        resolve = () => resolve_(subscription)
      })
    }
    void bench.listener.start()
    await bench.clock.settle()
    bench.driver.deliver()
    await bench.clock.settle()
    const stopped = bench.listener.stop()
    resolve()
    await bench.clock.settle()
    expect(bench.driver.subscription('notifications.warn').closed).toBe(true)
    expect(bench.driver.subscription('notifications.info').closed).toBe(false)
    expect(bench.statuses.map(({ state }) => state)).toEqual(['up'])
    await bench.clock.advance(31_000)
    expect(await stateOf(stopped)).toBe('resolved')
  })

  test('leaves unsettled what the transport cannot take back: closing hands it back', async () => {
    const bench = await new Bench(
      {
        concurrency: 1,
        handlers: [
          {
            priorities: ['INFO'],
            handle: () => new Promise<void>((resolve) => bench.clock.setTimer(resolve, 10)),
          },
        ],
      },
      { capabilities: { requeue: false } },
    ).start()
    const [, second] = [bench.driver.deliver(), bench.driver.deliver()]
    await bench.clock.settle()
    expect(await bench.stop()).toMatchObject({ acked: 1, requeued: 1, lost: 0, pending: 0 })
    expect(second?.settled).toBe(false)
  })

  test('does not wait longer than timeoutMs: signals fire, what runs is lost, what it does later is nothing', async () => {
    const reasons: unknown[] = []
    const ends: (() => void)[] = []
    const bench = await new Bench({
      handlers: [
        {
          priorities: ['INFO'],
          handle: (_, { signal }) =>
            new Promise<void>((resolve) => {
              ends.push(resolve)
              signal.addEventListener('abort', () => reasons.push(signal.reason))
            }),
        },
      ],
    }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    const stopped = bench.listener.stop({ timeoutMs: 2_000 })
    await bench.clock.advance(1_999)
    expect(reasons).toEqual([])
    await bench.clock.advance(1)
    expect(reasons).toEqual([expect.objectContaining({ name: 'NotifyError', code: 'CLOSED' })])
    expect(await stopped).toMatchObject({ received: 1, lost: 1, pending: 0, running: 1 })
    for (const end of ends) end()
    await bench.clock.settle()
    expect(delivery.settled).toBe(false)
    expect(bench.listener.stats()).toMatchObject({ acked: 0, lost: 1, running: 0 })
    expect(bench.clock.timers).toBe(0)
  })

  test('during start() leaves nothing behind', async () => {
    const bench = new Bench({ handlers })
    let resolve = () => {}
    bench.driver.onSubscribe = (subscription) => {
      if (subscription.source.destination.priority === 'INFO') return undefined
      return new Promise<Subscription>((resolve_) => {
        resolve = () => resolve_(subscription)
      })
    }
    const started = bench.listener.start()
    await bench.clock.settle()
    const stopped = bench.listener.stop({ timeoutMs: 1_000 })
    expect(await stateOf(started)).toMatchObject({ code: 'CLOSED' })
    expect(bench.driver.subscription('notifications.warn').options.signal.reason).toMatchObject({
      code: 'CLOSED',
    })
    await bench.clock.advance(1_200)
    expect(await stateOf(stopped)).toBe('resolved')
    expect([bench.clock.timers, bench.driver.observers, bench.driver.closes]).toEqual([0, 0, 1])
    resolve()
    await bench.clock.settle()
    expect(bench.driver.subscriptions.map(({ closed }) => closed)).toEqual([true, true])
  })

  test('while start() waits for a broker that is away ends the trying', async () => {
    const bench = new Bench({})
    bench.driver.onSubscribe = () => Promise.reject(broken('UNAVAILABLE'))
    const started = bench.listener.start()
    await bench.clock.advance(5_000)
    await bench.stop()
    expect(await stateOf(started)).toMatchObject({ code: 'CLOSED' })
    const { length } = bench.driver.subscriptions
    await bench.clock.advance(60_000)
    expect(bench.driver.subscriptions).toHaveLength(length)
  })

  test('while a failed start() lets its handlers end is bounded all the same', async () => {
    const bench = new Bench({ handlers: [{ priorities: ['INFO', 'WARN'], handle: hang }] })
    bench.driver.onSubscribe = (subscription) => {
      if (subscription.source.destination.priority === 'WARN') return Promise.reject(broken('FORBIDDEN'))
      subscription.deliver()
      return undefined
    }
    const started = bench.listener.start()
    await bench.clock.settle()
    expect(await stateOf(started)).toBe('pending')
    const stopped = bench.listener.stop({ timeoutMs: 1_000 })
    await bench.clock.advance(1_250)
    expect(await stateOf(stopped)).toBe('resolved')
    await bench.clock.advance(10_000)
    expect(await stateOf(started)).toMatchObject({ code: 'FORBIDDEN' })
    expect([bench.clock.timers, bench.driver.closes]).toEqual([0, 1])
    expect(bench.imbalance).toBe(0)
  })

  test('before start(), twice, and by "await using" is well', async () => {
    const bench = new Bench({})
    const stopped = bench.listener.stop()
    expect(bench.listener.stop()).toBe(stopped)
    expect(await bench.stop()).toMatchObject({ received: 0, pending: 0 })
    expect(bench.driver.closes).toBe(1)
    await expect(bench.listener.start()).rejects.toMatchObject({ code: 'CLOSED' })
    expect(await bench.listener.health()).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })

    const driver = new ScriptedConsumer()
    {
      await using listener = createListener({ driver, handlers, clock: new FakeClock() })
      expect(listener.stats().received).toBe(0)
    }
    expect(driver.closes).toBe(1)
  })

  test('from within a handler does not wait for itself for ever', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: () => void bench.listener.stop() }],
    }).start()
    bench.driver.deliver()
    const second = bench.driver.deliver()
    await bench.clock.settle()
    expect(await bench.listener.stop()).toMatchObject({ acked: 1, requeued: 1, pending: 0 })
    expect(second.requeues).toEqual([0])
  })

  test('what a driver delivers although it is paused is left unsettled, once', async () => {
    const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle: hang }] }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    const stopped = bench.listener.stop({ timeoutMs: 1_000 })
    await bench.clock.settle()
    const stray = bench.driver.deliver()
    await bench.clock.advance(1_250)
    expect(stray.settled).toBe(false)
    expect(await stopped).toMatchObject({ received: 2, requeued: 1, lost: 1, pending: 0 })
  })

  test('a driver that is shared is closed by whoever holds it last', async () => {
    const driver = new ScriptedConsumer()
    const clock = new FakeClock()
    const [first, second] = [0, 1].map(() => createListener({ driver, handlers, clock }))
    await first?.stop()
    expect(driver.closes).toBe(0)
    await second?.stop()
    expect(driver.closes).toBe(1)
  })
})

describe('health()', () => {
  const ask = async (bench: Bench) => {
    const answer = bench.listener.health()
    await bench.clock.settle()
    return answer
  }

  test('is the driver\u2019s, and says what is not consumed', async () => {
    const bench = new Bench({ handlers })
    bench.driver.onHealth = () => ({ ok: true, warnings: ['quorum queue wanted'] })
    expect(await ask(bench)).toEqual({ ok: true, warnings: ['quorum queue wanted'] })
    await bench.start()
    expect(await ask(bench)).toEqual({ ok: true, warnings: ['quorum queue wanted'] })
    bench.driver.subscription('notifications.warn').end(broken('FORBIDDEN', { message: 'no right' }))
    expect(await ask(bench)).toEqual({
      ok: false,
      warnings: ['quorum queue wanted', 'notifications.warn is not consumed: FORBIDDEN no right'],
      failure: broken('FORBIDDEN', { message: 'no right' }),
    })
  })

  test('says when all messages fail, until one succeeds', async () => {
    let fails = true
    const bench = await new Bench({
      attempts: { max: 2, minMs: 1, maxMs: 1 },
      handlers: [
        {
          priorities: ['INFO'],
          handle() {
            if (fails) throw new Error('database away')
          },
        },
      ],
    }).start()
    for (let index = 0; index < 5; index++) bench.driver.deliver()
    await bench.clock.advance(100)
    expect((await ask(bench)).warnings).toEqual([
      'the last 10 runs of handlers failed, and their messages go to the dead letters',
    ])
    fails = false
    bench.driver.deliver()
    await bench.clock.settle()
    expect((await ask(bench)).warnings).toEqual([])
  })
})

describe('the clock', () => {
  test('on the wall may jump: nothing expires, hangs or is handled twice', async () => {
    const runs = vi.fn()
    const bench = await new Bench({
      handlerTimeoutMs: 5_000,
      attempts: { max: 2, minMs: 1_000, maxMs: 1_000 },
      handlers: [
        {
          priorities: ['INFO'],
          async handle(_, { attempt }) {
            runs()
            await new Promise<void>((resolve) => bench.clock.setTimer(resolve, 100))
            if (attempt === 1) throw new Error('no')
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    for (const jump of [3_600_000, -7_200_000]) {
      bench.clock.jump(jump)
      await bench.clock.advance(700)
    }
    expect(runs).toHaveBeenCalledTimes(2)
    expect(bench.listener.stats()).toMatchObject({ acked: 1, pending: 0 })
  })

  test('has one timer, however many messages wait', async () => {
    const bench = await new Bench({
      handlerTimeoutMs: 60_000,
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Error('no')) }],
    }).start()
    for (let index = 0; index < 50; index++) bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats().pending).toBe(50)
    expect(bench.clock.timers).toBe(1)
  })
})
