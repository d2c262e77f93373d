// Run by a test in a process of its own: emits 1,000, handles them, closes, says when, and has nothing more to do.
import { createListener, createNotifier } from '@notify/core'
import { rabbit } from '../../src/index.ts'

const [url, exchange, topic] = process.argv.slice(2) as [string, string, string]
const { promise: all, resolve } = Promise.withResolvers<void>()
const handled = new Set<unknown>()
const notifier = createNotifier({
  publisherId: 'shop',
  driver: rabbit({ url, exchange }),
  topics: [topic],
})
const listener = createListener<{ [type: string]: { n: number } }>({
  driver: rabbit({ url, exchange }),
  topics: [topic],
  handlers: [
    {
      handle({ payload }) {
        if (handled.add(payload.n).size === 1_000) resolve()
      },
    },
  ],
})
await listener.start()
await Promise.all(Array.from({ length: 1_000 }, (_, n) => notifier.info('order.placed', { n })))
await all
const { confirmed } = await notifier.close()
const { acked } = await listener.stop()
const closedAt = performance.timeOrigin + performance.now()
console.log(JSON.stringify({ confirmed, acked, handled: handled.size, closedAt }))
