import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { eventually, rabbitOracle, requireOwnBroker } from '../src/index.ts'
import { amqp, publish, queueName } from './amqp.ts'

test('three nodes: the leader is killed, another one leads, and has what was confirmed', {
  tags: ['broker', 'slow'],
}, async (context) => {
  const broker = await requireOwnBroker(context, 'rabbit', { nodes: 3 })
  expect(new Set(broker.nodes.map(({ port }) => port)).size).toBe(3)
  const queue = queueName('led')
  const { channel } = await amqp(context, broker.url)
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  await sleep(2_000) // younger, it may lose what it confirmed
  await publish(channel, queue, 'kept')
  const leader = await broker.leader(queue)
  expect(await leader.kill()).toEqual({ code: null, signal: 'SIGKILL' })
  const next = await eventually(
    async () => {
      const node = await broker.leader(queue)
      return node !== leader && node
    },
    { withinMs: 20_000, what: 'another one leads' },
  )
  const stored = await rabbitOracle(next.url).read(queue, { leave: true })
  expect(stored.map(({ id }) => id)).toEqual(['kept'])
  await leader.restart()
  await broker.settled()
  expect(await rabbitOracle(leader.url).count(queue)).toBe(1)
})
