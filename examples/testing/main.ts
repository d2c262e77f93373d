/** Tests of `orders.ts`: the memory driver takes the place of the transport, and tells what it was given. */
import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { createListener, createNotifier, type Notifier } from '@notify/core'
import { type MemoryDriver, memory } from '@notify/memory'
import { placeOrder, refund, ship } from './orders.ts'

const order = { order_id: 12, total: 30 }
let driver: MemoryDriver
let notifier: Notifier

beforeEach(() => {
  driver = memory()
  notifier = createNotifier({ publisherId: 'shop', driver, onStatus() {} })
})

afterEach(async () => {
  await notifier.close()
})

test('an order is told to the others, a large one with a warning', async () => {
  placeOrder(notifier, order)
  placeOrder(notifier, { order_id: 13, total: 20_000 })
  await notifier.flush()
  assert.deepEqual(driver.sent('order.placed')[0]?.payload, order)
  assert.deepEqual(
    driver
      .sent()
      .map(({ priority, event_type }) => `${priority} ${event_type}`)
      .sort(),
    ['INFO order.placed', 'INFO order.placed', 'WARN order.large'],
  )
})

test('what is emitted some time later can be waited for', async () => {
  ship(notifier, order)
  const { payload } = await driver.waitFor('order.shipped')
  assert.deepEqual(payload, order)
})

test('no money is paid back while it cannot be put on record', async () => {
  assert.equal(await refund(notifier, order), 'paid')
  driver.fail('FORBIDDEN')
  assert.equal(await refund(notifier, order), 'try again later')
  assert.equal(driver.sent('order.refunded').length, 1)
})

test('a broker that is away for a moment delays an order, and loses none', async () => {
  driver.disconnect()
  placeOrder(notifier, order)
  assert.equal(notifier.stats().pending, 1)
  driver.connect()
  await notifier.flush()
  assert.equal(driver.sent('order.placed').length, 1)
})

test('a handler has seen everything when the driver is idle', async () => {
  const seen: object[] = []
  const listener = createListener({
    driver,
    handlers: [{ handle: ({ payload }) => void seen.push(payload) }],
  })
  await listener.start()
  placeOrder(notifier, order)
  await notifier.flush()
  await driver.idle()
  assert.deepEqual(seen, [order])
  await listener.stop()
})
