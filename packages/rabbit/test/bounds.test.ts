/** amqplib waits for ever. Every question that is put to a broker ends in time, when no answer comes to that one. */
import { openProxy, requireBroker, type TcpProxy } from '@notify/brokers'
import type { Destination } from '@notify/core'
import { expect, type TestContext, test } from 'vitest'
import type { RabbitDriver } from '../src/index.ts'
import { consume, outbound, placeAt, publish, publishOne, within } from './support.ts'

interface Scene {
  readonly driver: RabbitDriver
  readonly proxy: TcpProxy
  readonly orders: Destination
}

async function place(context: TestContext): Promise<Scene> {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  return { driver: driver({ url: proxy.through(broker.url) }), proxy, orders: destination() }
}

/** From the first of these on that goes to the broker, no answer comes back. Resolves when it goes. */
async function silentFrom({ proxy }: Scene, [group, id]: readonly [number, number]): Promise<void> {
  await new Promise<void>((resolve) => {
    const watch = proxy.up.watch(Uint8Array.of(0, group, 0, id), () => {
      watch.stop()
      proxy.down.hold()
      resolve()
    })
  })
}

const OPEN = [20, 10] as const
const CLOSE = [20, 40] as const
const EXCHANGE = [40, 10] as const
const QUEUE = [50, 10] as const
const BIND = [50, 20] as const
const PREFETCH = [60, 10] as const
const CONSUME = [60, 20] as const
const CANCEL = [60, 30] as const
const CONFIRM = [85, 10] as const

const NO_ANSWER = { code: 'UNAVAILABLE', reason: 'no-answer', retryable: true, maybeSent: false }
const GIVEN_UP = { code: 'DEADLINE', retryable: false, maybeSent: false, scope: 'message' } as const

/** A call that ends when the question is on its way, and has an hour until then. */
function until(asked: Promise<void>): ReturnType<typeof within> {
  const abort = new AbortController()
  void asked.then(() => abort.abort(GIVEN_UP))
  return within(3_600_000, abort.signal)
}

const ASKED_TO_PUBLISH = [
  ['to open a channel', OPEN],
  ['to confirm', CONFIRM],
  ['to declare the exchange', EXCHANGE],
  ['to declare the queue', QUEUE],
  ['to bind it', BIND],
] as const

test.for(ASKED_TO_PUBLISH)(
  'a publish that has no answer when it asks %s ends with its time, and with its signal',
  {
    tags: ['broker'],
  },
  async ([, method], context) => {
    for (const way of ['time', 'signal']) {
      const scene = await place(context)
      const asked = silentFrom(scene, method)
      const call = way === 'time' ? within(300) : until(asked)
      const publishing = publish(scene.driver, [outbound(scene.orders)], call)
      await asked
      expect(await publishing).toMatchObject([way === 'time' ? NO_ANSWER : GIVEN_UP])
      scene.proxy.down.release()
      expect(await publishOne(scene.driver, scene.orders)).toBe('confirmed')
    }
  },
)

const ASKED_TO_CONSUME = [
  ['to open a channel', OPEN],
  ['to declare the exchange', EXCHANGE],
  ['to declare the queue', QUEUE],
  ['to bind it', BIND],
  ['for its prefetch', PREFETCH],
  ['to consume', CONSUME],
] as const

test.for(ASKED_TO_CONSUME)(
  'a subscribe that has no answer when it asks %s ends with its time, and with its signal',
  {
    tags: ['broker'],
  },
  async ([, method], context) => {
    for (const way of ['time', 'signal']) {
      const scene = await place(context)
      const asked = silentFrom(scene, method)
      const call = way === 'time' ? within(300) : until(asked)
      const { driver, orders } = scene
      const subscribing = driver.subscribe({ destination: orders }, () => {}, { ...call, prefetch: 1 })
      await expect(subscribing).rejects.toMatchObject(way === 'time' ? NO_ANSWER : GIVEN_UP)
      scene.proxy.down.release()
      await (await consume(driver, orders)).subscription.close(within(5_000))
    }
  },
)

test.for([
  ['to open a channel', OPEN],
  ['for a queue', QUEUE],
] as const)(
  'health that has no answer when it asks %s says so in time',
  { tags: ['broker'] },
  async ([, method], context) => {
    const scene = await place(context)
    await publishOne(scene.driver, scene.orders)
    const asked = silentFrom(scene, method)
    const asking = scene.driver.health(within(300))
    await asked
    expect(await asking).toMatchObject({ ok: false, failure: NO_ANSWER })
  },
)

test.for([
  ['to cancel', CANCEL],
  ['to close its channel', CLOSE],
] as const)(
  'a subscription that has no answer when it asks %s is closed in time',
  { tags: ['broker'] },
  async ([, method], context) => {
    for (const way of ['time', 'signal']) {
      const scene = await place(context)
      const { subscription } = await consume(scene.driver, scene.orders)
      const asked = silentFrom(scene, method)
      await subscription.close(way === 'time' ? within(300) : until(asked))
      await asked
      expect(await subscription.ended).toBeUndefined()
      const before = performance.now()
      await scene.driver.close(within(300))
      expect(performance.now() - before).toBeLessThan(2_000)
    }
  },
)

test('a publisher that has no answer when it closes its channel is closed in time', {
  tags: ['broker'],
}, async (context) => {
  const scene = await place(context)
  await publishOne(scene.driver, scene.orders)
  const asked = silentFrom(scene, CLOSE)
  const before = performance.now()
  await scene.driver.close(within(300))
  await asked
  expect(performance.now() - before).toBeLessThan(2_000)
})
