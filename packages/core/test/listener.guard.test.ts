import { describe, expect, test, vi } from 'vitest'
import { jsonCodec } from '../src/codec.ts'
import { FakeClock } from './support/clock.ts'
import { Bench, noteOf } from './support/consumer.ts'

describe('the crash guard', () => {
  test('sends what came more than maxDeliveries times to the dead letters, unrun', async () => {
    const handle = vi.fn()
    const bench = await new Bench({ maxDeliveries: 3, handlers: [{ priorities: ['INFO'], handle }] }).start()
    bench.driver.deliver({ message_id: 'killer', deliveries: 4 })
    await bench.clock.settle()
    expect(handle).not.toHaveBeenCalled()
    expect(bench.driver.published[0]?.id).toBe('killer')
    expect(noteOf(bench.driver.published[0])).toMatchObject({
      code: 'UNKNOWN',
      reason: 'max-deliveries',
      attempts: 0,
    })
    bench.driver.deliver({ deliveries: 3 })
    await bench.clock.settle()
    expect(handle).toHaveBeenCalledTimes(1)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, acked: 1 })
  })

  test('is 20 by default, and never acts on a transport that does not count', async () => {
    const bench = await new Bench({}).start()
    bench.driver.deliver({ deliveries: 20 })
    bench.driver.deliver({ deliveries: 21 })
    bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ acked: 2, dead: 1 })
  })

  test('does not decode for ever what may kill by being decoded', async () => {
    const json = jsonCodec()
    const decode = vi.fn(json.decode)
    const bench = await new Bench({ codecs: [{ ...json, decode }] }).start()
    bench.driver.deliver({ message_id: 'killer', deliveries: 24 })
    await bench.clock.settle()
    expect(decode).not.toHaveBeenCalled()
    expect(bench.driver.published[0]?.id).toMatch(/^[0-9a-f-]{36}$/)
    bench.driver.deliver({ message_id: 'killer', deliveries: 23 })
    await bench.clock.settle()
    expect(decode).toHaveBeenCalledTimes(1)
  })

  test('lets a message run alone from its fourth delivery on', async () => {
    const log: string[] = []
    const bench = await new Bench({
      handlers: [
        {
          priorities: ['INFO', 'CRITICAL'],
          async handle(n) {
            log.push(`${n.event_type} begins`)
            await new Promise<void>((resolve) => bench.clock.setTimer(resolve, 1_000))
            log.push(`${n.event_type} ends`)
          },
        },
      ],
    }).start()
    bench.driver.deliver({ event_type: 'first', deliveries: 3 })
    await bench.clock.settle()
    bench.driver.deliver({ event_type: 'suspect', deliveries: 4 })
    bench.driver.deliver({ event_type: 'critical' }, 'notifications.critical')
    bench.driver.deliver({ event_type: 'other' })
    await bench.clock.advance(10_000)
    expect(log.slice(0, 4)).toEqual(['first begins', 'first ends', 'suspect begins', 'suspect ends'])
    expect(log.slice(4).toSorted()).toEqual([
      'critical begins',
      'critical ends',
      'other begins',
      'other ends',
    ])
  })

  test('keeps others waiting for 30 s at most', async () => {
    const log: string[] = []
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: (n) => new Promise(() => log.push(n.event_type)) }],
    }).start()
    bench.driver.deliver({ event_type: 'suspect', deliveries: 9 })
    await bench.clock.settle()
    bench.driver.deliver({ event_type: 'other' })
    await bench.clock.advance(29_999)
    expect(log).toEqual(['suspect'])
    await bench.clock.advance(1)
    expect(log).toEqual(['suspect', 'other'])
  })

  test.each([1, 2, 3, 4, 5])(
    'finds the one among fifty that kills its process, and no neighbour dies with it (seed %i)',
    async (seed) => {
      // Each round is a process: it is handed what is unsettled, and dies when the killer is run.
      const open = new Map(Array.from({ length: 50 }, (_, index) => [`m${index}`, 0]))
      const dead: string[] = []
      for (let round = 0; round < 40 && open.size > 0; round++) {
        const clock = new FakeClock(seed * 1_000 + round)
        let killed = false
        const bench: Bench = await new Bench(
          {
            handlers: [
              {
                priorities: ['INFO'],
                handle(n) {
                  if (n.message_id === 'm17') killed = true
                  // A dead process acknowledges nothing.
                  return killed ? new Promise(() => {}) : undefined
                },
              },
            ],
          },
          { clock },
        ).start()
        for (const [message_id, deliveries] of [...open]) {
          open.set(message_id, deliveries + 1)
          const delivery = bench.driver.subscription().make({ message_id, deliveries: deliveries + 1 })
          delivery.answer = () => {
            if (!killed) open.delete(message_id)
            return Promise.resolve(!killed)
          }
          bench.driver.subscription().onDelivery(delivery)
        }
        await clock.settle()
        dead.push(...bench.driver.published.map(({ id }) => id))
      }
      expect(open.size).toBe(0)
      expect(dead).toEqual(['m17'])
    },
  )
})
