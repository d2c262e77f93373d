import { describe, expect, test } from 'vitest'
import { systemClock } from '../src/clock.ts'
import { PRIORITIES, type Priority } from '../src/envelope.ts'
import { Bench, type ScriptedSubscription } from './support/consumer.ts'

const nameOf = (priority: Priority) => `notifications.${priority.toLowerCase()}`

/** Delivers one more whenever one is acknowledged: a destination in which there is always something. */
function flood(subscription: ScriptedSubscription, width: number, more: () => boolean = () => true): void {
  const deliver = () => {
    const delivery = subscription.make({})
    subscription.deliveries.length = 0
    delivery.answer = () => {
      if (more()) queueMicrotask(deliver)
      return Promise.resolve(true)
    }
    subscription.onDelivery(delivery)
  }
  for (let index = 0; index < width; index++) deliver()
}

describe('handlers that end at once', () => {
  test('let timers have their turn: a CRITICAL from a timer gets ahead of 20,000 DEBUGs', async () => {
    let debugs = 0
    let before: number | undefined
    const handled = Promise.withResolvers<void>()
    const bench = new Bench({
      clock: systemClock,
      handlers: [
        { priorities: ['DEBUG'], handle: () => void debugs++ },
        {
          priorities: ['CRITICAL'],
          handle() {
            before ??= debugs
            handled.resolve()
          },
        },
      ],
    })
    await bench.listener.start()
    const timer = setTimeout(() => bench.driver.deliver({ priority: 'CRITICAL' }, nameOf('CRITICAL')), 1)
    flood(bench.driver.subscription(nameOf('DEBUG')), 50, () => debugs < 20_000)
    await handled.promise
    clearTimeout(timer)
    expect(before).toBeLessThan(10_000)
    await bench.listener.stop()
    expect(bench.imbalance).toBe(0)
  })

  test('start in bursts: no more than a hundred before a turn of the event loop', async () => {
    let runs = 0
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], handle: async () => void runs++ }],
    }).start()
    flood(bench.driver.subscription(), 50)
    await bench.clock.microtasks()
    expect(runs).toBe(100)
    bench.clock.runDeferred()
    await bench.clock.microtasks()
    expect(runs).toBe(200)
  })

  test('start in bursts of 5 ms, where they block the thread', async () => {
    let runs = 0
    const bench = await new Bench({
      handlers: [
        {
          priorities: ['INFO'],
          handle() {
            runs++
            bench.clock.block(2)
          },
        },
      ],
    }).start()
    flood(bench.driver.subscription(), 50)
    await bench.clock.microtasks()
    expect(runs).toBe(3)
    bench.clock.runDeferred()
    await bench.clock.microtasks()
    expect(runs).toBe(6)
  })

  test('do not deepen the stack, however many they are', async () => {
    let runs = 0
    const bench = await new Bench({
      prefetch: 100_000,
      handlers: [{ priorities: ['INFO'], handle: () => void runs++ }],
    }).start()
    for (let index = 0; index < 50_000; index++)
      bench.driver.subscription().onDelivery(bench.driver.subscription().make())
    await bench.clock.settle()
    expect(runs).toBe(50_000)
  })
})

describe('important first', () => {
  test('what is delivered in one turn starts by its lane, not by its coming', async () => {
    const ran: Priority[] = []
    const bench = await new Bench({
      concurrency: 1,
      handlers: [{ handle: (n) => void ran.push(n.priority) }],
    }).start()
    for (const priority of PRIORITIES) bench.driver.deliver({ priority }, nameOf(priority))
    await bench.clock.settle()
    expect(ran).toEqual(PRIORITIES.toReversed())
  })

  test('DEBUG keeps at least 4 % of the handling beside floods of all the others', async () => {
    const ran = new Map<Priority, number>(PRIORITIES.map((priority) => [priority, 0]))
    const bench = await new Bench({
      handlers: [
        {
          handle: (n) =>
            new Promise<void>((resolve) => {
              ran.set(n.priority, (ran.get(n.priority) as number) + 1)
              bench.clock.setTimer(resolve, 2)
            }),
        },
      ],
    }).start()
    for (const priority of PRIORITIES) flood(bench.driver.subscription(nameOf(priority)), 50)
    await bench.clock.advance(2_000)
    const all = [...ran.values()].reduce((sum, each) => sum + each)
    expect(all).toBeGreaterThan(10_000)
    expect((ran.get('DEBUG') as number) / all).toBeGreaterThanOrEqual(0.04)
    expect(ran.get('CRITICAL')).toBe(Math.max(...ran.values()))
  })

  test('a CRITICAL finds a slot although slow handlers take all that they may have', async () => {
    const ran: Priority[] = []
    const bench = await new Bench({
      handlers: [{ handle: (n) => new Promise(() => ran.push(n.priority)) }],
    }).start()
    for (let index = 0; index < 50; index++) bench.driver.deliver({}, nameOf('DEBUG'))
    await bench.clock.settle()
    expect(ran).toHaveLength(14)
    bench.driver.deliver({}, nameOf('CRITICAL'))
    bench.driver.deliver({}, nameOf('ERROR'))
    await bench.clock.settle()
    expect(ran.slice(14).toSorted()).toEqual(['CRITICAL', 'ERROR'])
  })

  test('topics take turns', async () => {
    const ran: string[] = []
    const bench = await new Bench({
      topics: ['a', 'b'],
      concurrency: 1,
      handlers: [{ priorities: ['INFO'], handle: (_, { destination }) => void ran.push(destination.topic) }],
    }).start()
    for (const name of ['a.info', 'a.info', 'a.info', 'b.info', 'b.info']) bench.driver.deliver({}, name)
    await bench.clock.settle()
    expect(ran.join('')).toBe('ababa')
  })
})

describe('slots and prefetch', () => {
  test('at most concurrency handlers run at once', async () => {
    let running = 0
    let most = 0
    const bench = await new Bench({
      concurrency: 5,
      handlers: [
        {
          priorities: ['CRITICAL'],
          async handle() {
            most = Math.max(most, ++running)
            expect(bench.listener.stats().running).toBe(running)
            await new Promise<void>((resolve) => bench.clock.setTimer(resolve, 10))
            running--
          },
        },
      ],
    }).start()
    for (let index = 0; index < 40; index++) bench.driver.deliver({}, nameOf('CRITICAL'))
    await bench.clock.advance(1_000)
    expect(most).toBe(5)
    expect(bench.listener.stats()).toMatchObject({ acked: 40, running: 0 })
  })

  test('a retry that waits, and a dead letter that is not confirmed, take no slot', async () => {
    const ran: string[] = []
    const bench = await new Bench({
      concurrency: 1,
      attempts: { max: 2, minMs: 1_000, maxMs: 1_000 },
      handlers: [
        {
          priorities: ['INFO'],
          handle(n, { attempt }) {
            ran.push(`${n.event_type} ${attempt}`)
            if (n.event_type === 'fails') throw new Error('no')
          },
        },
      ],
    }).start()
    bench.driver.onPublish = () => {}
    bench.driver.deliver({ event_type: 'fails' })
    bench.driver.deliver({ event_type: 'works' })
    await bench.clock.settle()
    expect(ran).toEqual(['fails 1', 'works 1'])
    expect(bench.listener.stats()).toMatchObject({ pending: 1, running: 0 })
    await bench.clock.advance(1_000)
    bench.driver.deliver({ event_type: 'works' })
    await bench.clock.settle()
    expect(ran).toEqual(['fails 1', 'works 1', 'fails 2', 'works 1'])
    expect(bench.listener.stats()).toMatchObject({ pending: 1, acked: 2 })
  })

  test('prefetch is asked for each destination: 50, or twice the concurrency', async () => {
    const few = await new Bench({}).start()
    expect(few.driver.subscription().options.prefetch).toBe(50)
    const many = await new Bench({ concurrency: 40 }).start()
    expect(many.driver.subscription().options.prefetch).toBe(80)
    const own = await new Bench({ prefetch: 1_000 }).start()
    expect(own.driver.subscription().options.prefetch).toBe(1_000)
  })

  test('with attempts without end the lane fills, and nothing is given up', async () => {
    const bench = await new Bench({
      attempts: { max: Number.POSITIVE_INFINITY, withinMs: Number.POSITIVE_INFINITY },
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(new Error('database away')) }],
    }).start()
    for (let index = 0; index < 50; index++) bench.driver.deliver()
    await bench.clock.advance(600_000)
    expect(bench.listener.stats()).toMatchObject({ pending: 50, dead: 0 })
    expect((await health(bench)).warnings).toEqual([
      expect.stringMatching(/^the last \d+ runs of handlers failed/),
    ])
  })
})

describe('order within a key', () => {
  const keyed = async (keys: readonly (string | undefined)[]) => {
    const log: string[] = []
    const ends = new Map<string, (error?: Error) => void>()
    const bench = await new Bench({
      attempts: { max: 3, minMs: 100, maxMs: 100 },
      handlers: [
        {
          priorities: ['INFO'],
          handle: (n) =>
            new Promise<void>((resolve, reject) => {
              log.push(n.event_type)
              ends.set(n.event_type, (error) => (error === undefined ? resolve() : reject(error)))
            }),
        },
      ],
    }).start()
    for (const [index, key] of keys.entries()) {
      bench.driver.deliver({ event_type: `${index}`, ...(key === undefined ? {} : { key }) })
    }
    await bench.clock.settle()
    const end = async (name: string, error?: Error) => {
      ends.get(name)?.(error)
      await bench.clock.settle()
    }
    return { bench, log, end }
  }

  test('one runs at a time, as they came, and other keys and none beside them', async () => {
    const { log, end } = await keyed(['k', 'k', 'l', undefined, 'k'])
    expect(log).toEqual(['0', '2', '3'])
    await end('0')
    expect(log.at(-1)).toBe('1')
    await end('1')
    expect(log.at(-1)).toBe('4')
  })

  test('a waiting retry holds its key', async () => {
    const { bench, log, end } = await keyed(['k', 'k'])
    await end('0', new Error('no'))
    expect(log).toEqual(['0'])
    await bench.clock.advance(100)
    expect(log).toEqual(['0', '0'])
    await end('0')
    expect(log).toEqual(['0', '0', '1'])
  })

  test.each([
    ['dead letter', new Error('no')],
    ['Requeue', Object.assign(new Error('no'), { [Symbol.for('@notify/core.control')]: 'requeue' })],
  ])('a decided %s frees it, settled or not', async (_, error) => {
    const { bench, log, end } = await keyed(['k', 'k'])
    bench.driver.onPublish = () => {}
    for (const delivery of bench.driver.subscription().deliveries)
      delivery.answer = () => new Promise(() => {})
    for (let attempt = 0; attempt < 3; attempt++) {
      await end('0', error)
      await bench.clock.advance(100)
    }
    expect(log.at(-1)).toBe('1')
    expect(bench.listener.stats().pending).toBe(2)
  })

  test.each([
    ['succeeds', undefined],
    ['fails', new Error('no')],
  ])('it holds over a subscription that ended while its handler runs, until that %s', async (_, error) => {
    const { bench, log, end } = await keyed(['k'])
    bench.driver.subscription().end()
    await bench.clock.advance(5_000)
    bench.driver.deliver({ event_type: 'again', key: 'k' })
    await bench.clock.settle()
    expect(log).toEqual(['0'])
    await end('0', error)
    expect(log).toEqual(['0', 'again'])
  })
})

async function health(bench: Bench) {
  const answer = bench.listener.health()
  await bench.clock.settle()
  return answer
}
