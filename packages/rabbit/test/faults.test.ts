/** What breaks a broker, against one that nobody else uses. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, openProxy, orSkip, type RabbitBroker, start } from '@notify/brokers'
import { createNotifier, type Status } from '@notify/core'
import { afterAll, expect, type TestContext, test } from 'vitest'
import { killUnderNotifier } from './rounds/emits.ts'
import { killUnderDriver, LEAST_UNSETTLED } from './rounds/kill.ts'
import { OLD_ENOUGH_MS } from './rounds/round.ts'
import { consume, outbound, placeAt, publish, publishOne, within } from './support.ts'

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

/** From the broker's return to the first confirm. */
const BACK_MS = 5_000
/** Longer than a step may take, and then a channel to close. */
const STEPS_MS = 17_000

// `pnpm test:soak rabbit-kills` has more of the same.
for (const round of [1, 2]) {
  test(`killed at a confirm, ${round}: everything confirmed is there, everything else ends, nothing is counted twice`, {
    tags: ['broker'],
  }, async (context) => {
    const { lost, unsettled, recoveryMs } = await killUnderDriver(await own(context), Date.now())
    expect(lost).toBe(0)
    expect(recoveryMs).toBeLessThanOrEqual(BACK_MS)
    expect(unsettled).toBeGreaterThanOrEqual(LEAST_UNSETTLED)
  })
}

test('killed when an emit resolves: what has resolved is there, all else is sent again under the same message_id', {
  tags: ['broker'],
}, async (context) => {
  const { lost, failed, sentAgain, recoveryMs } = await killUnderNotifier(await own(context), Date.now())
  expect([lost, failed]).toEqual([0, 0])
  expect(recoveryMs).toBeLessThanOrEqual(BACK_MS)
  expect(sentAgain).toBeGreaterThan(0)
})

test('a memory alarm: blocked is told, nothing is lost or doubled, and it flows when it is over', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination, oracle } = placeAt(context, broker)
  const orders = destination()
  const publishing = driver()
  const states: Status['state'][] = []
  publishing.observe(({ state }) => states.push(state))
  await publishOne(publishing, orders)
  const inbox = await consume(publishing, orders, { prefetch: 1 })
  await broker.faults.alarm()
  const held = publish(
    publishing,
    Array.from({ length: 20 }, () => outbound(orders)),
  )
  await eventually(() => states.includes('blocked'))
  // Who comes to listen later is told at once.
  const later: string[] = []
  publishing.observe(({ state }) => later.push(state))()
  expect(later).toEqual(['blocked'])
  expect(await publishing.health(within(1_000))).toMatchObject({ ok: false, failure: { reason: 'blocked' } })
  // Acknowledgements have a connection of their own.
  expect(await (await inbox.has(1))[0]?.ack()).toBe(true)
  await inbox.subscription.close(within(5_000))
  await broker.faults.clearAlarm()
  expect(new Set(await held)).toEqual(new Set(['confirmed']))
  expect(states).toEqual(['blocked', 'up'])
  expect(await oracle.count(orders.name)).toBe(20)
})

test('first used while an alarm is up: it waits, and takes nothing down that is in flight', {
  tags: ['broker', 'slow'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination, oracle } = placeAt(context, broker)
  const [orders, stock] = [destination('orders'), destination('stock')]
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const publishing = driver({ url: proxy.through(broker.url) })
  const states: Status['state'][] = []
  publishing.observe(({ state }) => states.push(state))
  await publishOne(publishing, orders)
  await broker.faults.alarm()
  try {
    // It is being declared when another message makes the broker stop reading.
    const declaring = proxy.up.passes('\x00\x28\x00\x0a')
    const first = publish(publishing, [outbound(stock)], within(2_000))
    await declaring
    const held = publish(publishing, [outbound(orders, 'held')], within(60_000))
    await eventually(() => states.includes('blocked'))
    // What does not want to wait for so long, does not.
    const abort = new AbortController()
    const short = publish(publishing, [outbound(destination('short'))], within(60_000, abort.signal))
    abort.abort({ code: 'DEADLINE', retryable: false, maybeSent: false, scope: 'message' })
    expect(await short).toMatchObject([{ code: 'DEADLINE', maybeSent: false }])
    await sleep(STEPS_MS)
    await broker.faults.clearAlarm()
    expect([await held, await first]).toEqual([['confirmed'], ['confirmed']])
  } finally {
    await broker.faults.clearAlarm()
  }
  expect(states).toEqual(['blocked', 'up'])
  const ids = (await oracle.read(orders.name)).map(({ id }) => id)
  expect(ids.filter((id) => id === 'held')).toHaveLength(1)
})

test('closed while an alarm holds everything: settled, and over at once', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination } = placeAt(context, broker)
  const orders = destination()
  const publishing = driver()
  await publishOne(publishing, orders)
  await broker.faults.alarm()
  const held = publishOne(publishing, orders)
  await eventually(async () => !(await publishing.health(within(500))).ok)
  const before = performance.now()
  await publishing.close({ timeoutMs: 60_000, signal: AbortSignal.timeout(50) })
  expect(performance.now() - before).toBeLessThan(1_000)
  expect(await held).toMatchObject({ code: 'CLOSED', maybeSent: true })
  await broker.faults.clearAlarm()
})

test('an administrator closes all connections: UNAVAILABLE, subscriptions end, the next call connects', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination } = placeAt(context, broker)
  const orders = destination()
  const both = driver()
  const downs: unknown[] = []
  both.observe(({ state, failure }) => downs.push(state === 'down' ? failure?.reason : state))
  const inbox = await consume(both, orders)
  await publishOne(both, orders)
  await broker.faults.closeConnections()
  expect(await inbox.subscription.ended).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
  await eventually(() => downs.length === 1)
  expect(await publishOne(both, orders)).toBe('confirmed')
  expect(downs).toEqual(['connection-closed', 'up'])
})

test('a right that is taken away: FORBIDDEN; given back: it flows', { tags: ['broker'] }, async (context) => {
  const broker = await own(context)
  const { driver, destination } = placeAt(context, broker)
  const [orders, stock] = [destination('orders'), destination('stock')]
  const both = driver()
  await publishOne(both, orders)
  await broker.faults.revoke()
  try {
    expect(await publishOne(both, stock)).toMatchObject({
      code: 'FORBIDDEN',
      retryable: false,
      maybeSent: false,
    })
    await expect(
      both.subscribe({ destination: stock }, () => {}, { ...within(5_000), prefetch: 1 }),
    ).rejects.toMatchObject({ code: 'FORBIDDEN' })
  } finally {
    await broker.faults.grant()
  }
  expect(await publishOne(both, stock)).toBe('confirmed')
})

test('a broker that is paused: silence ends with the heartbeat, and the call after it flows', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination } = placeAt(context, broker)
  const orders = destination()
  const publishing = driver({ heartbeatMs: 1_000, connectTimeoutMs: 500 })
  await publishOne(publishing, orders)
  broker.pause()
  try {
    expect(await publishOne(publishing, orders)).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'heartbeat',
      maybeSent: true,
    })
    expect(await publishOne(publishing, orders)).toMatchObject({ code: 'UNAVAILABLE', maybeSent: false })
  } finally {
    broker.resume()
  }
  await eventually(async () => (await publishOne(publishing, orders)) === 'confirmed')
})

test('through the notifier: what was emitted while the broker was dead is there when it is back', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination, oracle } = placeAt(context, broker)
  const { topic, name } = destination()
  const states: string[] = []
  const notifier = createNotifier({
    publisherId: 'shop',
    driver: driver(),
    topics: [topic],
    onStatus: ({ state }) => states.push(state),
  })
  await notifier.info('order.placed', { order_id: 0 })
  await sleep(OLD_ENOUGH_MS)
  await broker.kill()
  const emits = Array.from({ length: 50 }, (_, order_id) =>
    notifier.info('order.placed', { order_id }, { timeoutMs: 60_000 }),
  )
  const all = Promise.all(emits)
  await broker.restart()
  await all
  await notifier.close()
  expect([states[0], states.at(-1)]).toEqual(['down', 'up'])
  const ids = (await oracle.read(name)).map(({ id }) => id)
  expect(new Set(ids).size).toBe(51)
})

test('a delivery that is held too long: the subscription ends, and the message comes back', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const { driver, destination } = placeAt(context, broker)
  const set = (name: string, ms: number) => broker.ctl('eval', `application:set_env(rabbit, ${name}, ${ms}).`)
  await set('consumer_timeout', 500)
  await set('channel_tick_interval', 200)
  try {
    const orders = destination()
    const both = driver()
    await publishOne(both, orders)
    const inbox = await consume(both, orders)
    const [held] = await inbox.has(1)
    // Up to 4.2 the channel is closed for it; since 4.3 the queue cancels the consumer.
    const later = broker.version.localeCompare('4.3', 'en', { numeric: true }) >= 0
    expect(await inbox.subscription.ended).toMatchObject({
      code: 'UNAVAILABLE',
      reason: later ? 'cancelled' : 'held-too-long',
      retryable: true,
    })
    expect(await held?.ack()).toBe(false)
    const [again] = await (await consume(both, orders)).has(1)
    expect(again?.deliveries).toBe(2)
    expect(await again?.ack()).toBe(true)
  } finally {
    await set('consumer_timeout', 1_800_000)
    await set('channel_tick_interval', 60_000)
  }
})
