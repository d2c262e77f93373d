import { requireBroker } from '@notify/brokers'
import { expect, test } from 'vitest'
import { surviveCuts } from './rounds/cuts.ts'

// `pnpm test:soak rabbit-cuts` has more of the same.
test('cut ten times with publishes and deliveries open: nothing is lost, one consumer a queue, and then no socket', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  expect(await surviveCuts(broker, Date.now(), 10)).toMatchObject({ cuts: 10, lost: 0 })
})
