import { createListener, createNotifier, type Driver, type Envelope, Reject } from '@notify/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { memory, memoryBroker } from '../src/index.ts'

// How a program is tested with this package: the program gets the driver from outside, as it would in
// production, and the test holds the other end.

/** A program that emits. */
function shop(driver: Driver) {
  const notifier = createNotifier({ publisherId: 'shop', driver, onStatus: () => {} })
  return {
    notifier,
    async order(order_id: number) {
      await notifier.info('order.placed', { order_id }, { key: String(order_id) })
    },
  }
}

/** A program that consumes. */
function billing(driver: Driver, charge: (order_id: number) => unknown, group?: string) {
  return createListener({
    driver,
    ...(group === undefined ? {} : { group }),
    attempts: { max: 2, minMs: 1_000, maxMs: 1_000 },
    handlers: [
      {
        event_type: 'order.*',
        priorities: ['INFO'],
        handle: async (notification: Envelope) => {
          await charge((notification.payload as { order_id: number }).order_id)
        },
      },
    ],
    onFailure: () => {},
    onStatus: () => {},
  })
}

const orders = (sent: Envelope[]) => sent.map(({ payload }) => (payload as { order_id: number }).order_id)

afterEach(() => {
  vi.useRealTimers()
})

describe('a program that emits', () => {
  test('is asked what it emitted', async () => {
    const driver = memory()
    const { order, notifier } = shop(driver)
    await order(12)
    expect(driver.sent('order.placed')).toMatchObject([
      { publisher_id: 'shop', priority: 'INFO', payload: { order_id: 12 } },
    ])
    await notifier.close()
    expect(orders(driver.sent())).toEqual([12])
  })

  test('is waited for, when it emits on its own time', async () => {
    const driver = memory()
    const { notifier } = shop(driver)
    setTimeout(() => notifier.warn('stock.low', { item: 'duck' }), 5)
    expect((await driver.waitFor('stock.low')).payload).toEqual({ item: 'duck' })
    await notifier.close()
  })

  test('an emit that nobody awaits is there after the next turn of promises', async () => {
    const driver = memory()
    const { notifier } = shop(driver)
    notifier.debug('cache.miss', { key: 'k' })
    await undefined
    expect(driver.sent('cache.miss').length).toBe(1)
    await notifier.close()
  })

  test('survives a broker that fails for a while', async () => {
    const driver = memory()
    const { order, notifier } = shop(driver)
    driver.fail('UNAVAILABLE', { times: 2, scope: 'message' })
    await order(1)
    driver.fail('UNAVAILABLE', { stored: true, maybeSent: true, scope: 'message' })
    await order(2)
    driver.disconnect()
    const away = order(3)
    driver.connect()
    await away
    driver.block()
    const blocked = order(4)
    expect(orders(driver.sent())).toEqual([1, 2, 3])
    driver.unblock()
    await blocked
    expect(orders(driver.sent())).toEqual([1, 2, 3, 4])
    expect(await notifier.close()).toMatchObject({ emitted: 4, confirmed: 4 })
  })

  test('learns of what cannot be helped', async () => {
    const driver = memory()
    const { order, notifier } = shop(driver)
    driver.fail('FORBIDDEN', { reason: 'acl', scope: 'message' })
    await expect(order(1)).rejects.toMatchObject({ code: 'FORBIDDEN', reason: 'acl' })
    await notifier.close()
  })
})

describe('a program that consumes', () => {
  test('is given notifications, and has handled them when the driver is idle', async () => {
    const driver = memory()
    const charged: number[] = []
    const listener = billing(driver, (order_id) => charged.push(order_id))
    await listener.start()
    const { order, notifier } = shop(driver)
    await Promise.all([1, 2, 3].map(order))
    await driver.idle()
    expect(charged.sort()).toEqual([1, 2, 3])
    expect(listener.stats()).toMatchObject({ received: 3, acked: 3, pending: 0 })
    await Promise.all([listener.stop(), notifier.close()])
  })

  test('tries again on the time that the test drives', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const charge = vi.fn().mockRejectedValueOnce(new Error('the bank is away'))
    const listener = billing(driver, charge)
    await listener.start()
    const { order, notifier } = shop(driver)
    await order(1)
    await vi.advanceTimersByTimeAsync(0)
    expect(charge).toHaveBeenCalledTimes(1)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(charge).toHaveBeenCalledTimes(2)
    await driver.idle()
    expect(driver.sent((_, { topic }) => topic.endsWith('.dead'))).toEqual([])
    await Promise.all([listener.stop(), notifier.close()])
  })

  test('gives up into the dead letters', async () => {
    const driver = memory()
    const listener = billing(driver, () => {
      throw new Reject('no such order')
    })
    await listener.start()
    const { order, notifier } = shop(driver)
    await order(7)
    await driver.idle()
    expect(orders(driver.sent((_, { topic }) => topic === 'notifications.dead'))).toEqual([7])
    expect(orders(driver.sent())).toEqual([7])
    const [dead] = driver.native().messages('notifications.dead.info')
    expect(JSON.parse(dead?.headers['notify-dead'] as string)).toMatchObject({ attempts: 1 })
    await Promise.all([listener.stop(), notifier.close()])
  })

  test('finds what was emitted before it started, and what it left when it stopped', async () => {
    const broker = memoryBroker()
    const { order, notifier } = shop(memory({ broker }))
    await order(1)
    const charged: number[] = []
    for (const order_id of [2, 3]) {
      const driver = memory({ broker })
      const listener = billing(driver, (each) => charged.push(each))
      await listener.start()
      await driver.idle()
      await listener.stop()
      await order(order_id)
    }
    expect(charged).toEqual([1, 2])
    expect(broker.count('notifications.info')).toBe(1)
    await notifier.close()
  })

  test('every group gets all, and shares it among its members, across a connection that breaks', async () => {
    const broker = memoryBroker()
    const charged: Record<string, number[]> = { one: [], two: [] }
    const [first, second, third] = [memory({ broker }), memory({ broker }), memory({ broker })] as const
    const listeners = [
      billing(first, (order_id) => charged.one?.push(order_id), 'one'),
      billing(second, (order_id) => charged.one?.push(order_id), 'one'),
      billing(third, (order_id) => charged.two?.push(order_id), 'two'),
    ]
    await Promise.all(listeners.map((listener) => listener.start()))
    const publisher = memory({ broker })
    const { order, notifier } = shop(publisher)
    const numbers = Array.from({ length: 200 }, (_, index) => index)
    await Promise.all(
      numbers.map(async (order_id) => {
        if (order_id === 100) {
          first.disconnect()
          first.connect()
        }
        await order(order_id)
      }),
    )
    await publisher.idle()
    for (const list of Object.values(charged))
      expect([...new Set(list)].sort((a, b) => a - b)).toEqual(numbers)
    expect(charged.two?.length).toBe(200)
    await Promise.all([...listeners.map((listener) => listener.stop()), notifier.close()])
    expect([
      broker.consumers('notifications.info', 'one'),
      broker.consumers('notifications.info', 'two'),
    ]).toEqual([0, 0])
  })
})
