import { describe, expect, test } from 'vitest'
import type { Driver, Settle } from '../src/driver.ts'
import { toFailure } from '../src/errors.ts'
import { type Emission, type Failure, isNotifyError, type NotifyError, PRIORITIES } from '../src/index.ts'
import { type Emitting, emitting } from './support/emitting.ts'
import { BEHIND_FAILURE, DOWN, scripted, trouble } from './support/publisher.ts'

// Drivers that break each promise of the contract. The program must not notice more than a failed emit.

const boom = () => {
  throw new Error('theirs')
}
const hostile = new Proxy(
  {},
  { get: boom, has: boom, ownKeys: boom, getPrototypeOf: boom, getOwnPropertyDescriptor: boom },
)
const end = (emission: Emission) =>
  emission.then(
    () => 'confirmed' as const,
    (error: NotifyError) => error,
  )

function lawOf({ notifier }: Pick<Emitting, 'notifier'>) {
  const { drivers, ...sums } = notifier.stats()
  expect(sums.emitted).toBe(sums.confirmed + sums.failed + sums.shed + sums.filtered + sums.pending)
  for (const { emitted, confirmed, failed, shed, pending } of drivers)
    expect(emitted).toBe(confirmed + failed + shed + pending)
  return sums
}

describe('publish', () => {
  const FAULTS: Record<string, (settle: Settle, batch: Parameters<Settle>[0][]) => unknown> = {
    throws: boom,
    rejects: () => Promise.reject(new Error('theirs')),
    // biome-ignore lint/suspicious/noThenProperty: it is what is tested
    'returns a thenable that throws': () => ({ then: boom }),
    'returns what cannot be asked': () => hostile,
    'throws nothing': () => {
      throw undefined
    },
  }

  test.each(Object.entries(FAULTS))(
    'that %s: what is open is UNKNOWN, maybeSent, and what was settled counts',
    async (_, fault) => {
      const { clock, driver, notifier } = emitting()
      driver.onPublish = (batch, settle) => {
        settle(batch[0] as (typeof batch)[0])
        settle(batch[1] as (typeof batch)[0], trouble('INVALID'))
        return fault(settle, [...batch]) as undefined
      }
      const ends = ['a', 'b', 'c', 'd'].map((name) => end(notifier.info(name, {})))
      await clock.settle()
      const unknown = { code: 'UNKNOWN', reason: 'driver-fault', retryable: false, maybeSent: true }
      expect(await Promise.all(ends)).toMatchObject(['confirmed', { code: 'INVALID' }, unknown, unknown])
      expect(lawOf({ notifier })).toMatchObject({ confirmed: 1, failed: 3, pending: 0 })
      // And the next call is made all the same.
      driver.onPublish = undefined
      driver.reply = 'confirm'
      await expect(notifier.info('a', {})).resolves.toBeDefined()
    },
  )

  test('that rejects after all is settled, or after close, changes nothing', async () => {
    const { clock, driver, notifier } = emitting()
    const rejects: (() => void)[] = []
    driver.onPublish = () => new Promise((_, reject) => rejects.push(() => reject(new Error('theirs'))))
    notifier.info('a', {})
    await clock.settle()
    driver.confirm()
    for (const reject of rejects) reject()
    await clock.settle()
    notifier.info('b', {}).catch(() => {})
    const closing = notifier.close({ timeoutMs: 0 })
    await clock.advance(200)
    await closing
    for (const reject of rejects) reject()
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 1, failed: 1, pending: 0 })
  })

  test('that always throws is no hot loop, and closes', async () => {
    const { clock, driver, notifier } = emitting()
    driver.onPublish = boom
    for (let index = 0; index < 100; index++) notifier.info('a', {}).catch(() => {})
    await clock.advance(60_000)
    expect(driver.calls).toHaveLength(1)
    expect(await notifier.close()).toMatchObject({ failed: 100, pending: 0 })
  })

  test('that empties the batch it was given gets nowhere with it, and nothing is left behind', async () => {
    const { clock, driver, notifier } = emitting({
      notifier: { attemptTimeoutMs: 1_000 },
      capabilities: { window: { messages: 2, bytes: 10_000 } },
    })
    driver.onPublish = (batch) => {
      ;(batch as unknown[]).length = 0
    }
    const ends = Array.from({ length: 4 }, () => end(notifier.info('a', {})))
    await clock.settle()
    expect(await Promise.all(ends)).toMatchObject(
      ends.map(() => ({ code: 'UNKNOWN', reason: 'driver-fault', cause: expect.any(TypeError) })),
    )
    driver.onPublish = undefined
    driver.reply = 'confirm'
    await expect(notifier.info('b', {})).resolves.toBeDefined()
  })

  test('that emits, or closes, from within', async () => {
    const { clock, driver, notifier } = emitting()
    let made = 0
    driver.onPublish = (batch, settle) => {
      // New topics and priorities all the while, more than a sender keeps track of.
      if (made < 5_000) {
        for (const _ of batch)
          notifier.notify(PRIORITIES[made % 7] as 'INFO', 'within', {}, { topics: [`t${made++ % 700}`] })
      }
      for (const message of batch) settle(message)
    }
    notifier.info('a', {})
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ emitted: 5_001, confirmed: 5_001, pending: 0 })
    driver.onPublish = (batch, settle) => {
      void notifier.close({ timeoutMs: 0 })
      for (const message of batch) settle(message)
    }
    await expect(notifier.info('a', {})).resolves.toBeDefined()
    await clock.advance(200)
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 5_002, pending: 0 })
  })
})

describe('settle', () => {
  test('called twice: the first answer counts', async () => {
    const { clock, driver, notifier } = emitting()
    const ends = ['a', 'b'].map((name) => end(notifier.info(name, {})))
    await clock.settle()
    const [a, b] = driver.handed
    for (const failure of [undefined, DOWN, undefined, trouble('INVALID')]) a?.settle(failure)
    for (const failure of [trouble('INVALID'), undefined, DOWN]) b?.settle(failure)
    await clock.settle()
    expect(await Promise.all(ends)).toMatchObject(['confirmed', { code: 'INVALID' }])
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 1, failed: 1 })
    expect(notifier.stats().drivers[0]).toMatchObject({ late: 0, inFlight: 0 })
    // No gate was shut by what did not count.
    driver.reply = 'confirm'
    await expect(notifier.info('c', {})).resolves.toBeDefined()
  })

  test('for a message of another call, an older attempt, a copy, or nothing at all: ignored', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    driver.fail(DOWN)
    await clock.advance(200)
    notifier.info('b', {}, { topics: ['other'] })
    const [older, attempt] = driver.handed
    const settles = driver.calls.map(({ settle }) => settle)
    const message = attempt?.message as Parameters<Settle>[0]
    const foreign = [
      undefined,
      null,
      {},
      7,
      'a',
      hostile,
      { ...message },
      Object.create(message),
      new Proxy(message, {}),
    ] as unknown as (typeof message)[]
    for (const settle of settles) for (const each of foreign) settle(each)
    settles[0]?.(message)
    settles[1]?.(older?.message as typeof message)
    settles[0]?.(older?.message as typeof message, undefined)
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 0, pending: 2 })
    driver.reply = 'confirm'
    driver.confirm()
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 2, pending: 0 })
  })

  test('never called: attempts time out, the deadline ends it, close does not hang', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { attemptTimeoutMs: 1_000, timeoutMs: 10_000 } })
    const ended = end(notifier.info('a', {}))
    await clock.advance(10_000)
    expect(await ended).toMatchObject({ code: 'DEADLINE', maybeSent: true })
    expect(driver.calls.length).toBeGreaterThan(3)
    notifier.info('b', {}).catch(() => {})
    const closing = notifier.close({ timeoutMs: 100 })
    await clock.advance(300)
    expect(await closing).toMatchObject({ failed: 2, pending: 0 })
    expect(clock.timers).toBe(0)
  })

  const GARBAGE: [what: string, failure: unknown, expected: object][] = [
    ['null', null, { code: 'UNKNOWN', maybeSent: true, cause: null }],
    ['a string', 'EPIPE', { code: 'UNKNOWN', maybeSent: true, cause: 'EPIPE' }],
    ['an empty object', {}, { code: 'UNKNOWN', maybeSent: true }],
    ['a function', () => {}, { code: 'UNKNOWN', maybeSent: true }],
    ['an Error', new Error('native'), { code: 'UNKNOWN', maybeSent: true }],
    [
      'an Error of Node',
      Object.assign(new Error('native'), { code: 'ECONNRESET' }),
      { code: 'UNKNOWN', maybeSent: true },
    ],
    ['a code that only a prototype has', { ...trouble('INVALID'), code: 'toString' }, { code: 'UNKNOWN' }],
    [
      'a code and nothing else',
      { code: 'FORBIDDEN' },
      { code: 'FORBIDDEN', retryable: false, maybeSent: true, scope: 'message' },
    ],
    [
      'another scope',
      { ...trouble('FORBIDDEN'), scope: 'galaxy' },
      { code: 'FORBIDDEN', maybeSent: false, scope: 'message' },
    ],
    [
      'texts that are none',
      { ...trouble('FORBIDDEN'), reason: Symbol('r'), message: hostile },
      { code: 'FORBIDDEN', maybeSent: false },
    ],
    ['a proxy that answers nothing', hostile, { code: 'UNKNOWN', maybeSent: true }],
    [
      'a getter that throws',
      {
        get code() {
          return boom()
        },
      },
      { code: 'UNKNOWN', maybeSent: true },
    ],
  ]
  test.each(GARBAGE)('with %s for a failure', async (_, failure, expected) => {
    expect(toFailure(failure)).toMatchObject(expected)
    const { clock, driver, notifier } = emitting({ capabilities: { window: { messages: 1, bytes: 10_000 } } })
    const ended = end(notifier.info('a', {}))
    await clock.settle()
    expect(() => driver.fail(failure as Failure)).not.toThrow()
    const { scope: _scope, ...seen } = expected as { scope?: string }
    const error = await ended
    expect(error).toMatchObject(seen)
    expect(isNotifyError(error) && typeof error.message).toBe('string')
    // Its place in the window is free again.
    driver.reply = 'confirm'
    await expect(notifier.info('b', {})).resolves.toBeDefined()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 1, failed: 1 })
  })

  test.each([Number.NaN, -1, Number.POSITIVE_INFINITY, '5', 1n, null, hostile])(
    'with a retryAfterMs that is none (%#): probed all the same',
    async (retryAfterMs) => {
      for (const scope of ['transport', 'destination', 'message'] as const) {
        const { clock, driver, notifier } = emitting({
          reply: { ...DOWN, scope, retryAfterMs: retryAfterMs as number },
        })
        const ended = end(notifier.info('a', {}))
        await clock.advance(1_000)
        driver.reply = 'confirm'
        await clock.advance(10_000)
        expect(await ended).toBe('confirmed')
      }
    },
  )

  test('after close counts as late', async () => {
    const { clock, driver, notifier, statuses } = emitting()
    for (const name of ['a', 'b', 'c']) notifier.info(name, {}).catch(() => {})
    await clock.settle()
    const closing = notifier.close({ timeoutMs: 0 })
    await clock.advance(200)
    await closing
    const [a, b, c] = driver.handed
    a?.settle()
    b?.settle(DOWN)
    c?.settle(trouble('UNAUTHENTICATED', { scope: 'transport' }))
    await clock.advance(60_000)
    expect(lawOf({ notifier })).toMatchObject({ failed: 3, pending: 0 })
    expect(notifier.stats().drivers[0]?.late).toBe(3)
    expect(statuses).toEqual([])
  })
})

describe('observe', () => {
  const driverWith = (observe: unknown) => ({ ...scripted({ reply: 'confirm' }), observe }) as Driver

  test.each<[what: string, observe: unknown]>([
    ['throws', boom],
    ['returns nothing', () => {}],
    ['returns what is no function', () => 7],
    ['returns a function that throws', () => boom],
    ['calls back at once', (listener: (status: unknown) => void) => listener({ state: 'up' })],
    [
      'tells garbage at once',
      (listener: (status: unknown) => void) => {
        for (const garbage of [
          undefined,
          null,
          'up',
          7,
          {},
          { state: 'sideways' },
          { state: 'down', failure: 'text' },
          hostile,
        ])
          listener(garbage)
      },
    ],
  ])('that %s', async (_, observe) => {
    const driver = driverWith(observe)
    const { notifier } = emitting({ notifier: { driver } })
    await expect(notifier.info('a', {})).resolves.toBeDefined()
    expect(await notifier.close()).toMatchObject({ confirmed: 1, pending: 0 })
  })

  test('that tells garbage later neither throws into the driver nor changes anything', async () => {
    let tell: (status: unknown) => void = () => {}
    const driver = driverWith((listener: typeof tell) => {
      tell = listener
    })
    const { clock, notifier, statuses } = emitting({ notifier: { driver } })
    tell({ state: 'blocked' })
    notifier.info('a', {})
    for (const garbage of [undefined, null, 'up', 7, {}, { state: 'sideways' }, hostile])
      expect(() => tell(garbage)).not.toThrow()
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ pending: 1 })
    tell({ state: 'up' })
    tell({ state: 'down', failure: 'text' })
    tell({ state: 'down' })
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 1 })
    for (const { failure } of statuses)
      expect(failure === undefined || typeof failure.code === 'string').toBe(true)
    await notifier.close()
    tell({ state: 'blocked' })
    tell({ state: 'up' })
  })

  test('that flaps a thousand times in a turn', async () => {
    const { clock, driver, notifier } = emitting({ reply: DOWN })
    notifier.info('a', {})
    for (let index = 0; index < 1_000; index++)
      driver.status((['down', 'blocked', 'up'] as const)[index % 3] as 'up')
    driver.status('up')
    await clock.settle()
    expect(driver.calls.length).toBeLessThanOrEqual(2)
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    expect(lawOf({ notifier })).toMatchObject({ confirmed: 1 })
  })
})

describe('health and close', () => {
  test.each<[what: string, health: unknown]>([
    ['throws', boom],
    ['rejects', async () => boom()],
    ['rejects with a failure', () => Promise.reject(DOWN)],
    ['answers nothing', async () => undefined],
    ['answers no promise', () => 7],
    ['answers half', async () => ({ ok: true })],
    ['answers garbage', async () => ({ ok: 'yes', warnings: 'none' })],
    ['answers what cannot be asked', async () => Object.assign(() => {}, { warnings: [Symbol('w')] })],
  ])(
    'health that %s is answered all the same, as one who is not well or has no warnings',
    async (_, health) => {
      const { driver, notifier } = emitting()
      driver.onHealth = health as Driver['health']
      const answer = await notifier.health()
      expect(answer.drivers).toHaveLength(1)
      expect(typeof answer.ok).toBe('boolean')
      expect(answer.drivers[0]).toMatchObject({ driver: 'scripted', ok: answer.ok })
      expect(Array.isArray(answer.drivers[0]?.warnings)).toBe(true)
    },
  )

  test.each<[what: string, close: unknown]>([
    ['throws', boom],
    ['rejects', async () => boom()],
    ['hangs', () => new Promise(() => {})],
    ['returns garbage', () => 7],
  ])('close that %s: the notifier closes in time, with its report', async (_, close) => {
    const driver = { ...scripted({ reply: 'confirm' }), close } as Driver
    const { clock, notifier } = emitting({ notifier: { driver } })
    await notifier.info('a', {})
    const closing = notifier.close({ timeoutMs: 1_000 })
    await clock.advance(1_200)
    expect(await closing).toMatchObject({ confirmed: 1, pending: 0 })
    expect(clock.timers).toBe(0)
  })

  test('a driver that emits from its close, and settles what it has twice there', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    driver.onClose = async () => {
      driver.confirm()
      for (const each of driver.handed) each.settle(DOWN)
      await notifier.info('b', {}).catch(() => {})
    }
    const closing = notifier.close({ timeoutMs: 10 })
    await clock.advance(210)
    expect(await closing).toMatchObject({ emitted: 2, confirmed: 1, failed: 1, pending: 0 })
  })
})

test('a storm of all of it: 20,000 emits, one outcome each, sums that agree at every instant', {
  timeout: 30_000,
}, async () => {
  const fatal = [
    trouble('UNAUTHENTICATED', { scope: 'transport' }),
    trouble('UNROUTABLE', { scope: 'destination' }),
  ]
  const FAILURES: unknown[] = [
    ...Array.from({ length: 60 }, () => undefined),
    DOWN,
    { ...DOWN, maybeSent: true, retryAfterMs: 300 },
    { ...DOWN, scope: 'destination' },
    trouble('THROTTLED'),
    trouble('UNAVAILABLE', { reason: 'split' }),
    BEHIND_FAILURE,
    null,
    'text',
    new Error('native'),
    { code: 'FORBIDDEN' },
    { ...DOWN, retryAfterMs: Number.NaN },
    hostile,
  ]
  let told = 0
  let checks = 0
  const asked = { confirmed: 0, failed: 0, shed: 0 }
  const setup = emitting({
    seed: Number(process.env.NOTIFY_STORM_SEED ?? 1),
    capabilities: { maxBatch: 7, window: { messages: 30, bytes: 100_000 } },
    notifier: {
      buffer: { messages: 200 },
      attemptTimeoutMs: 3_000,
      timeoutMs: 20_000,
      topics: ['one'],
      onFailure: () => {
        told++
        check()
      },
    },
  })
  const { clock, driver, notifier } = setup
  let emitted = 0
  const check = () => {
    checks++
    const sums = lawOf(setup)
    expect(sums.emitted).toBe(emitted)
    expect(sums.failed + sums.shed).toBeGreaterThanOrEqual(told + asked.failed + asked.shed)
    expect(sums.confirmed).toBeGreaterThanOrEqual(asked.confirmed)
    expect(notifier.stats().drivers[0]?.pending).toBeLessThanOrEqual(200)
  }
  const pick = <T>(from: readonly T[]) => from[Math.floor(clock.random() * from.length)] as T
  const kept: [settle: Settle, message: Parameters<Settle>[0]][] = []
  driver.onPublish = (batch, settle) => {
    for (const message of batch) {
      kept.push([settle, message])
      for (let answers = pick([0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]); answers > 0; answers--)
        settle(message, (clock.random() < 0.002 ? pick(fatal) : pick(FAILURES)) as Failure)
      if (clock.random() < 0.2) check()
    }
    const chance = clock.random()
    if (chance < 0.02) boom()
    if (chance < 0.04) return Promise.reject(new Error('theirs'))
    if (chance < 0.05) return hostile as never
  }
  while (emitted < 20_000) {
    for (let index = 0; index < 40; index++) {
      const signal = clock.random() < 0.05 ? new AbortController() : undefined
      const emission = notifier.notify(
        pick(PRIORITIES),
        'storm',
        clock.random() < 0.02 ? (undefined as never) : {},
        {
          topics: pick([['one'], ['one', 'two'], ['three']]),
          ...(clock.random() < 0.5 ? {} : { key: pick(['a', 'b', 'c']) }),
          ...(signal === undefined ? {} : { signal: signal.signal }),
          timeoutMs: pick([50, 1_000, 20_000]),
        },
      )
      emitted++
      if (clock.random() < 0.5) {
        emission.then(
          () => asked.confirmed++,
          ({ code }) => asked[code === 'SHED' ? 'shed' : 'failed']++,
        )
      }
      if (clock.random() < 0.5) signal?.abort()
    }
    check()
    // Answers that are late, wrong, or for the second time.
    for (let index = 0; index < 10 && kept.length > 0; index++) {
      const [settle] = pick(kept)
      const [, message] = pick(kept)
      settle(message, pick(FAILURES) as Failure)
      const [own, mine] = pick(kept)
      own(mine, pick(FAILURES) as Failure)
    }
    if (kept.length > 2_000) kept.splice(0, 1_000)
    if (clock.random() < 0.1) driver.status(pick(['up', 'up', 'up', 'down', 'blocked'] as const))
    await clock.advance(pick([0, 1, 20, 300]))
    check()
  }
  const closing = notifier.close({ timeoutMs: 1_000 })
  await clock.advance(1_250)
  const report = await closing
  await clock.settle()
  check()
  for (const [settle, message] of kept) settle(message)
  check()
  expect(report.pending).toBe(0)
  expect(report.emitted).toBe(emitted)
  expect(told + asked.failed + asked.shed).toBe(report.failed + report.shed)
  expect(report.confirmed).toBeGreaterThan(500)
  expect(checks).toBeGreaterThan(2_000)
  expect(clock.timers).toBe(0)
})
