import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, requireBroker, seeded } from '@notify/brokers'
import { createListener, createNotifier, PRIORITIES } from '@notify/core'
import { expect, test } from 'vitest'
import { placeAt } from './support.ts'

const WAITING = 50_000
/** One in a hundred. */
const OVERTAKEN = 500

test('a CRITICAL overtakes 50,000 DEBUGs that wait in RabbitMQ: at most 1 % of them run before it', {
  tags: ['broker'],
}, async (context) => {
  const seed = Date.now()
  const random = seeded(seed)
  const { destination, driver, oracle } = placeAt(context, await requireBroker(context, 'rabbit'))
  const { topic } = destination()
  const queue = (priority: string): string => `${topic}.${priority.toLowerCase()}`
  for (const priority of PRIORITIES) context.onTestFinished(() => oracle.remove(queue(priority)))
  const notifier = createNotifier({
    publisherId: 'shop',
    driver: driver(),
    topics: [topic],
    buffer: { messages: WAITING },
  })
  await Promise.all(Array.from({ length: WAITING }, (_, n) => notifier.debug('cache.miss', { n })))
  expect(await oracle.count(queue('DEBUG'))).toBe(WAITING)

  const emitAt = random.between(WAITING * 0.05, WAITING * 0.2)
  let handled = 0
  let before: number | undefined
  let emittedAt = 0
  let result: { more: number; tookMs: number } | undefined
  const listener = createListener({
    driver: driver(),
    topics: [topic],
    concurrency: 16,
    // Ten times more than may go first, so that the order in the process counts as well.
    prefetch: 10 * OVERTAKEN,
    handlers: [
      {
        async handle({ priority }) {
          if (priority === 'CRITICAL') {
            result = { more: handled - (before as number), tookMs: performance.now() - emittedAt }
          }
          await sleep(2)
          if (priority === 'DEBUG') handled++
        },
      },
    ],
  })
  await listener.start()
  let emitting: Promise<unknown> | undefined
  const timer = setInterval(() => {
    if (handled < emitAt) return
    clearInterval(timer)
    before = handled
    emittedAt = performance.now()
    emitting = Promise.resolve(notifier.critical('disk.full', {}))
  }, 1)
  context.onTestFinished(async () => clearInterval(timer))
  const { more, tookMs } = await eventually(() => result, {
    withinMs: 30_000,
    what: `the CRITICAL runs (seed ${seed})`,
  })
  await emitting
  const { received, pending } = listener.stats()
  await listener.stop()
  await notifier.close()

  const told = `${more} more after ${Math.round(tookMs)} ms, emitted at ${before} (seed ${seed})`
  expect(more, told).toBeLessThanOrEqual(OVERTAKEN)
  // They were still waiting when it came, most of them in the broker.
  expect(before).toBeLessThan(WAITING * 0.21)
  expect(received).toBeLessThan(WAITING / 2)
  expect(pending).toBeGreaterThan(0)
})
