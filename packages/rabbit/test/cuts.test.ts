import { eventually, openProxy, requireBroker, seeded } from '@notify/brokers'
import { createListener, createNotifier, PRIORITIES } from '@notify/core'
import { expect, test } from 'vitest'
import { placeAt } from './support.ts'

const CUTS = 10

test('cut at random bytes, again and again: nothing is lost, one consumer is left, and then no socket', {
  tags: ['broker'],
}, async (context) => {
  const seed = Date.now()
  const random = seeded(seed)
  const broker = await requireBroker(context, 'rabbit')
  const { destination, driver, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker, { seed })
  context.onTestFinished(() => proxy.close())
  const { topic, name } = destination()
  for (const priority of PRIORITIES) {
    context.onTestFinished(() => oracle.remove(`${topic}.${priority.toLowerCase()}`))
  }
  const through = driver({ url: proxy.through(broker.url) })
  const quiet = { onStatus: () => {}, onFailure: () => {} }
  const backoff = { minMs: 10, maxMs: 50 }
  const notifier = createNotifier({
    publisherId: 'shop',
    driver: through,
    topics: [topic],
    backoff,
    ...quiet,
  })
  const handled = new Set<unknown>()
  const listener = createListener({
    driver: through,
    topics: [topic],
    backoff,
    handlers: [{ handle: ({ payload }) => void handled.add((payload as { n: number }).n) }],
    ...quiet,
  })
  await listener.start()
  const emitted = new Set<number>()
  const emits: Promise<unknown>[] = []
  let cuts = 0
  while (cuts < CUTS) {
    const direction = random.next() < 0.5 ? proxy.up : proxy.down
    let over = false
    const cut = direction.cutAfter(random.between(1, 60_000)).then(() => {
      over = true
    })
    while (!over) {
      for (let index = 0; index < 20; index++) {
        const n = emitted.size
        emitted.add(n)
        emits.push(Promise.resolve(notifier.info('order.placed', { n })))
      }
      await Promise.race([cut, new Promise((resolve) => setTimeout(resolve, 5))])
    }
    cuts++
  }
  await Promise.all(emits)
  await eventually(() => handled.size === emitted.size, {
    withinMs: 20_000,
    what: `everything is handled (seed ${seed})`,
  })
  await eventually(async () => (await oracle.count(name)) === 0)
  await eventually(async () => (await oracle.consumers(name)) === 1)
  await listener.stop()
  await notifier.close()
  await eventually(() => proxy.open === 0)
  expect(await oracle.consumers(name)).toBe(0)
})
