import { describe, expect, test, vi } from 'vitest'
import { jsonCodec } from '../src/codec.ts'
import { Requeue } from '../src/index.ts'
import { FakeClock } from './support/clock.ts'
import { Bench, broken, noteOf } from './support/consumer.ts'

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

  test('runs none that may kill before what has been handled is settled, for 5 s at most', async () => {
    const log: string[] = []
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: (n) => void log.push(n.event_type) }],
    }).start()
    const answers: ((taken: boolean) => void)[] = []
    for (const event_type of ['first', 'second', 'third']) {
      const deliveries = event_type === 'first' ? 1 : 4
      const delivery = bench.driver.subscription().make({ event_type, deliveries })
      delivery.answer = () => new Promise((resolve) => answers.push(resolve))
      bench.driver.subscription().onDelivery(delivery)
      await bench.clock.settle()
    }
    expect(log).toEqual(['first'])
    answers[0]?.(true)
    await bench.clock.settle()
    expect(log).toHaveLength(2)
    await bench.clock.advance(4_999)
    expect(log).toHaveLength(2)
    await bench.clock.advance(1)
    expect(log).toHaveLength(3)
    answers[1]?.(true)
    answers[2]?.(false)
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ acked: 2, lost: 1, pending: 0 })
  })

  test('waits for no settlement that nobody will answer any more', async () => {
    const handle = vi.fn()
    const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle }] }).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => new Promise(() => {})
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    bench.driver.subscription().end(broken('UNAVAILABLE'))
    await bench.clock.advance(6_000)
    expect(bench.listener.stats()).toMatchObject({ lost: 1, pending: 0 })
    bench.driver.deliver({ deliveries: 4 })
    await bench.clock.settle()
    expect(handle).toHaveBeenCalledTimes(2)
  })

  test('a requeue that cannot be had is no settlement to wait for', async () => {
    const handle = vi.fn(({ event_type }) => {
      if (event_type === 'again') throw new Requeue({ delayMs: 60_000 })
    })
    const bench = await new Bench({ handlers: [{ priorities: ['INFO'], handle }] }).start()
    const delivery = bench.driver.subscription().make({ event_type: 'again' })
    delivery.answer = () => Promise.reject(broken('UNSUPPORTED'))
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    bench.driver.deliver({ event_type: 'suspect', deliveries: 4 })
    await bench.clock.settle()
    expect(handle).toHaveBeenCalledTimes(2)
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
          // On its way for as long as the process needs to die.
          delivery.answer = () =>
            new Promise((resolve) => {
              clock.defer(() => {
                if (!killed) open.delete(message_id)
                resolve(!killed)
              })
            })
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
