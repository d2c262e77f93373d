import { getEventListeners } from 'node:events'
import { describe, expect, test } from 'vitest'
import type { NotifyError } from '../src/index.ts'
import { Deadlines } from '../src/notifier/deadlines.ts'
import { Emit } from '../src/notifier/emission.ts'
import type { Ledger } from '../src/notifier/ledger.ts'
import { FakeClock } from './support/clock.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, envelopeOf, trouble } from './support/publisher.ts'

const HOUR = 3_600_000
const BUSY = trouble('THROTTLED')

describe('a deadline', () => {
  test('is 60 s from the emit, unless the emit or its notifier says otherwise', async () => {
    for (const [notifier, options, ms] of [
      [{}, {}, 60_000],
      [{ timeoutMs: 2_000 }, {}, 2_000],
      [{ timeoutMs: 2_000 }, { timeoutMs: 300 }, 300],
      [{}, { timeoutMs: 0.5 }, 1],
    ] as const) {
      const setup = emitting({ notifier })
      await setup.clock.advance(5)
      setup.notifier.info('a', {}, options)
      await setup.clock.advance(ms - 1)
      expect(setup.failures).toEqual([])
      await setup.clock.advance(1)
      expect(setup.failures).toMatchObject([{ code: 'DEADLINE', retryable: false }])
    }
  })

  test('that passes while it waits ends it, and it is never sent afterwards', async () => {
    const { clock, driver, failures, notifier } = emitting({ reply: DOWN, notifier: { timeoutMs: 1_000 } })
    notifier.info('a', {})
    driver.status('blocked')
    notifier.info('b', {})
    await clock.advance(1_000)
    expect(failures).toMatchObject([{ maybeSent: false }, { maybeSent: false }])
    expect(notifier.stats()).toMatchObject({ failed: 2, pending: 0 })
    driver.reply = 'confirm'
    driver.status('up')
    await clock.advance(HOUR)
    expect(driver.calls).toEqual([])
    expect(clock.timers).toBe(0)
  })

  test('that passes in flight ends it as maybeSent, and it leaves pending at once and its call in peace', async () => {
    const { clock, driver, failures, notifier } = emitting({
      notifier: { timeoutMs: 1_000 },
      capabilities: { window: { messages: 1, bytes: 10_000 } },
    })
    notifier.info('a', {})
    await clock.settle()
    notifier.info('b', {}, { timeoutMs: 10_000 })
    await clock.advance(1_000)
    expect(failures).toMatchObject([
      { code: 'DEADLINE', maybeSent: true, receipt: { results: [{ status: 'failed', attempts: 1 }] } },
    ])
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 1, drivers: [{ inFlight: 0, pending: 1 }] })
    // It holds its place in the window until it is settled.
    expect(driver.sent).toEqual(['a'])
    expect(driver.calls[0]?.signal.aborted).toBe(false)
    driver.confirm()
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b'])
    expect(notifier.stats()).toMatchObject({ failed: 1, confirmed: 0, drivers: [{ late: 1 }] })
  })

  test('ends what is open of an emit, and leaves what has ended', async () => {
    const { clock, driver, failures, notifier } = emitting({
      notifier: { topics: ['one', 'two'], timeoutMs: 1_000 },
    })
    notifier.info('a', {})
    await clock.settle()
    driver.open[0]?.settle()
    await clock.advance(1_000)
    expect(failures[0]).toMatchObject({
      code: 'DEADLINE',
      receipt: {
        results: [
          { topic: 'one', status: 'confirmed' },
          { topic: 'two', status: 'failed' },
        ],
      },
    })
  })

  test('of many emits with many timeouts, each comes at its own moment', async () => {
    const { clock, notifier } = emitting({ notifier: { buffer: { messages: 1_000 } } })
    const ends: [due: number, at: number][] = []
    for (let index = 0; index < 500; index++) {
      const timeoutMs = 1 + Math.floor(clock.random() * 40) * 25
      const due = clock.now() + timeoutMs
      notifier.info('a', {}, { timeoutMs }).catch(() => ends.push([due, clock.now()]))
      if (index % 10 === 0) await clock.advance(3)
    }
    await clock.advance(2_000)
    expect(ends).toHaveLength(500)
    expect(ends.filter(([due, at]) => due !== at)).toEqual([])
  })

  test('passes also when the thread was blocked for long, and nothing is sent after it', async () => {
    for (const reply of [BUSY, DOWN]) {
      const { clock, driver, failures, notifier } = emitting({ reply, notifier: { timeoutMs: 1_000 } })
      notifier.info('a', {})
      await clock.settle()
      clock.block(120_000)
      driver.reply = 'confirm'
      await clock.advance(1)
      expect(driver.calls).toHaveLength(1)
      expect(failures).toMatchObject([{ code: 'DEADLINE' }])
    }
  })
})

test('deadlines come in order after any coming and going', () => {
  const clock = new FakeClock()
  for (let round = 0; round < 200; round++) {
    const deadlines = new Deadlines()
    const open: Emit[] = []
    for (let step = 0; step < 150; step++) {
      if (clock.random() < 0.65 || open.length === 0) {
        const emit = new Emit(String(step), {} as Ledger)
        // Many are alike, some have none.
        emit.deadline = clock.random() < 0.05 ? Number.POSITIVE_INFINITY : Math.floor(clock.random() * 100)
        deadlines.add(emit)
        open.push(emit)
      } else {
        const [emit] = open.splice(Math.floor(clock.random() * open.length), 1)
        deadlines.remove(emit as Emit)
      }
    }
    const came: number[] = []
    for (let emit = deadlines.first; emit !== undefined; emit = deadlines.first) {
      came.push(emit.deadline)
      deadlines.remove(emit)
    }
    expect(came).toEqual(open.map(({ deadline }) => deadline).sort((a, b) => a - b))
    expect(deadlines.size).toBe(0)
  }
})

describe("a caller's signal", () => {
  test('that fires while it waits removes it', async () => {
    const { clock, driver, failures, notifier } = emitting()
    driver.status('blocked')
    const abort = new AbortController()
    notifier.info('a', {}, { signal: abort.signal })
    notifier.info('b', {})
    abort.abort(new Error('theirs'))
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 1 })
    driver.status('up')
    await clock.settle()
    expect(driver.sent).toEqual(['b'])
    expect(failures).toMatchObject([{ code: 'ABORTED', maybeSent: false }])
  })

  test('that fires while it is encoded, or a close then, and nothing is sent', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    const abort = new AbortController()
    const aborting = { toJSON: () => abort.abort() ?? {} }
    await expect(notifier.info('a', aborting, { signal: abort.signal })).rejects.toMatchObject({
      code: 'ABORTED',
      maybeSent: false,
    })
    const closing = { toJSON: () => ({ closing: notifier.close() }) }
    await expect(notifier.info('a', closing)).rejects.toMatchObject({ code: 'CLOSED', maybeSent: false })
    expect(driver.calls).toEqual([])
    expect(notifier.stats()).toMatchObject({ emitted: 2, failed: 2 })
  })

  test('that fires in flight ends it as maybeSent, and never reaches the driver', async () => {
    const { clock, driver, failures, notifier } = emitting()
    const abort = new AbortController()
    notifier.info('a', {}, { signal: abort.signal })
    await clock.settle()
    abort.abort()
    await clock.settle()
    expect(failures).toMatchObject([{ code: 'ABORTED', maybeSent: true }])
    expect(driver.calls[0]?.signal.aborted).toBe(false)
    driver.confirm()
    expect(notifier.stats()).toMatchObject({ failed: 1, confirmed: 0, pending: 0, drivers: [{ late: 1 }] })
  })

  test('that fires after the end changes nothing, and no listener is left on it', async () => {
    const { clock, driver, notifier } = emitting()
    const controller = new AbortController()
    const emissions = Array.from({ length: 100 }, () => notifier.info('a', {}, { signal: controller.signal }))
    await clock.settle()
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(100)
    driver.confirm()
    expect(getEventListeners(controller.signal, 'abort')).toHaveLength(0)
    controller.abort()
    expect(await Promise.all(emissions)).toHaveLength(100)
    expect(notifier.stats()).toMatchObject({ confirmed: 100, failed: 0 })
  })

  test.each([
    ['a refusal', (driver: ReturnType<typeof emitting>['driver']) => driver.fail(trouble('INVALID'))],
    ['a deadline', () => {}],
  ])('is let go of after %s', async (_, end) => {
    const { clock, driver, notifier } = emitting({ notifier: { timeoutMs: 1_000 } })
    const { signal } = new AbortController()
    notifier.info('a', {}, { signal })
    await clock.settle()
    end(driver)
    await clock.advance(1_000)
    expect(getEventListeners(signal, 'abort')).toHaveLength(0)
  })

  test('that ends the last message leaves no timer', async () => {
    for (const failure of [DOWN, { ...DOWN, scope: 'destination' as const }, BUSY]) {
      const { clock, driver, notifier } = emitting()
      const abort = new AbortController()
      notifier.info('a', {}, { signal: abort.signal })
      await clock.settle()
      driver.fail({ ...failure, retryAfterMs: 10_000 })
      await clock.settle()
      expect(clock.timers).toBeGreaterThan(0)
      abort.abort()
      await clock.settle()
      expect(clock.timers).toBe(0)
    }
  })

  test('names the latest trouble', async () => {
    const { clock, notifier } = emitting({ reply: DOWN })
    const abort = new AbortController()
    const end = notifier.info('a', {}, { signal: abort.signal }).catch((error: NotifyError) => error)
    await clock.advance(500)
    abort.abort()
    expect(await end).toMatchObject({
      code: 'ABORTED',
      message: expect.stringContaining('UNAVAILABLE: refused'),
    })
  })
})

describe('a wall clock that jumps', () => {
  test.each([HOUR, -HOUR])('by %i ms expires, resends and hangs nothing', async (jump) => {
    const { clock, driver, failures, notifier } = emitting({
      notifier: { timeoutMs: 5_000, attemptTimeoutMs: 2_000 },
    })
    notifier.info('in flight', {})
    notifier.error('backs off', {})
    await clock.settle()
    driver.fail({ ...BUSY, retryAfterMs: 1_000 }, 'backs off')
    notifier.info('behind a gate', {}, { topics: ['other'] })
    await clock.settle()
    driver.fail({ ...DOWN, scope: 'destination', retryAfterMs: 1_000 }, 'behind a gate')
    const flush = notifier.flush({ timeoutMs: 4_000 })
    await clock.advance(500)
    clock.jump(jump)
    await clock.advance(499)
    expect(driver.calls).toHaveLength(3)
    expect(failures).toEqual([])
    await clock.advance(1)
    expect(driver.sent.slice(3).toSorted()).toEqual(['backs off', 'behind a gate'])
    driver.confirm('backs off')
    driver.confirm('behind a gate')
    await clock.advance(999)
    expect(notifier.stats()).toMatchObject({ confirmed: 2, pending: 1 })
    await clock.advance(1 + 101)
    expect(driver.sent.slice(5)).toEqual(['in flight'])
    clock.jump(-2 * jump)
    await clock.advance(4_000)
    expect(await flush).toBe(false)
    expect(failures).toMatchObject([{ code: 'DEADLINE', maybeSent: true }])
    expect(notifier.stats()).toMatchObject({ confirmed: 2, failed: 1, pending: 0 })
  })

  test('shows in timestamps, and in nothing else: ids stay unique', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    for (const jump of [0, HOUR, -2 * HOUR]) {
      clock.jump(jump)
      await notifier.info('a', {})
    }
    const envelopes = driver.handed.map(({ message }) => envelopeOf(message))
    expect(envelopes.map(({ timestamp }) => timestamp)).toEqual([
      '2026-11-22T00:00:00.000Z',
      '2026-11-22T01:00:00.000Z',
      '2026-11-21T23:00:00.000Z',
    ])
    expect(new Set(envelopes.map(({ message_id }) => message_id)).size).toBe(3)
  })
})
