import { expect, test } from 'vitest'
import { Bench } from './support/consumer.ts'

test('acks', async () => {
  const seen: string[] = []
  const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle: (n) => void seen.push(n.event_type) }] }).start()
  const d = bench.driver.deliver()
  await bench.clock.settle()
  expect(seen).toEqual(['test.happened'])
  expect(d.acks).toBe(1)
  expect(bench.listener.stats()).toMatchObject({ received: 1, acked: 1, pending: 0 })
  expect(await bench.stop()).toMatchObject({ received: 1, acked: 1, pending: 0 })
  expect(bench.clock.timers).toBe(0)
  expect(bench.driver.closes).toBe(1)
})
