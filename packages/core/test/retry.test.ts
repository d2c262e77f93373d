import { describe, expect, test } from 'vitest'
import type { NotifyError } from '../src/index.ts'
import { backoffMs } from '../src/retry.ts'
import { FakeClock } from './support/clock.ts'
import { emitting } from './support/emitting.ts'
import { BEHIND_FAILURE, DOWN, trouble } from './support/publisher.ts'

const FOREVER = { timeoutMs: Number.POSITIVE_INFINITY }
const BUSY = trouble('THROTTLED', { reason: 'queue-full' })
const SPLIT = trouble('UNAVAILABLE', { reason: 'split' })

describe('backoff', () => {
  test('is full jitter: uniform from nothing to a bound that doubles, up to the most', () => {
    const clock = new FakeClock()
    for (const [failures, bound] of [
      [1, 100],
      [2, 200],
      [3, 400],
      [7, 6_400],
      [8, 10_000],
      [9, 10_000],
      [1_000, 10_000],
    ] as const) {
      const waits = Array.from({ length: 400 }, () =>
        backoffMs(failures, { minMs: 100, maxMs: 10_000 }, clock),
      )
      expect(Math.max(...waits)).toBeLessThan(bound)
      expect(Math.max(...waits)).toBeGreaterThan(bound * 0.97)
      expect(Math.min(...waits)).toBeLessThan(bound * 0.03)
    }
  })

  test('waits as long as the broker says, or longer', () => {
    const clock = new FakeClock()
    const waits = Array.from({ length: 100 }, () => backoffMs(3, { minMs: 100, maxMs: 10_000 }, clock, 300))
    expect(Math.min(...waits)).toBe(300)
    expect(Math.max(...waits)).toBeGreaterThan(300)
  })
})

describe('a failure of one message', () => {
  test('is tried again by itself, with the same ids and bytes in a new message object', async () => {
    const { clock, driver, notifier } = emitting({ reply: BUSY, notifier: FOREVER })
    const emission = notifier.info('a', { size: 1 }, { key: 'k', headers: { a: 'b' } })
    await clock.advance(60_000)
    const messages = driver.handed.map(({ message }) => message)
    expect(messages.length).toBeGreaterThan(8)
    expect(new Set(messages).size).toBe(messages.length)
    expect(
      messages.every(
        ({ id, dedupId }) => id === emission.message_id && dedupId === `${id}/notifications.info`,
      ),
    ).toBe(true)
    for (const message of messages) expect(message).toEqual(messages[0])
    driver.reply = 'confirm'
    await clock.advance(10_000)
    expect((await emission).results).toMatchObject([{ status: 'confirmed', attempts: messages.length + 1 }])
  })

  test('holds up no other, and shuts no gate', async () => {
    const { clock, driver, notifier, statuses } = emitting({
      reply: ({ key }) => (key === 'bad' ? BUSY : 'confirm'),
      notifier: FOREVER,
    })
    notifier.info('bad', {}, { key: 'bad' })
    for (let rounds = 0; rounds < 10; rounds++) {
      await notifier.info('good', {})
      await clock.advance(100)
    }
    expect(notifier.stats()).toMatchObject({ confirmed: 10, pending: 1 })
    expect(driver.handed.length).toBeGreaterThan(12)
    expect(statuses).toEqual([])
  })

  test('comes back at its own time, not at that of another', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (const name of ['late', 'early', 'later']) notifier.info(name, {})
    await clock.settle()
    driver.fail({ ...BUSY, retryAfterMs: 5_000 }, 'late')
    driver.fail({ ...BUSY, retryAfterMs: 1_000 }, 'early')
    driver.fail({ ...BUSY, retryAfterMs: 9_000 }, 'later')
    const sent: string[][] = []
    for (const ms of [999, 1, 3_999, 1, 3_999, 1]) {
      const before = driver.sent.length
      await clock.advance(ms)
      sent.push(driver.sent.slice(before))
    }
    expect(sent).toEqual([[], ['early'], [], ['late'], [], ['later']])
  })

  test('backs off on its own: waits grow up to backoff.maxMs, or as the broker says', async () => {
    const { clock, driver, notifier } = emitting({
      notifier: { ...FOREVER, backoff: { minMs: 1_000, maxMs: 4_000 } },
    })
    const times: number[] = []
    driver.reply = () => {
      times.push(clock.now())
      return times.length === 5 ? { ...BUSY, retryAfterMs: 50_000 } : BUSY
    }
    notifier.info('a', {})
    await clock.advance(200_000)
    const gaps = times.slice(1).map((time, index) => time - (times[index] as number))
    expect(gaps[0]).toBeLessThanOrEqual(1_001)
    expect(gaps[4]).toBeGreaterThanOrEqual(50_000)
    expect(Math.max(...gaps.toSpliced(4, 1))).toBeLessThanOrEqual(4_001)
    expect(Math.max(...gaps.toSpliced(4, 1))).toBeGreaterThan(3_000)
  })

  test.each([
    'UNROUTABLE',
    'CONFLICT',
    'UNAUTHENTICATED',
    'FORBIDDEN',
    'TOO_LARGE',
    'INVALID',
    'UNSUPPORTED',
    'CLOSED',
    'UNKNOWN',
  ] as const)('%s ends it at once, for what is not retryable is not retried', async (code) => {
    const { clock, driver, notifier } = emitting({ reply: trouble(code) })
    await expect(notifier.info('a', {})).rejects.toMatchObject({
      code,
      retryable: false,
      receipt: { results: [{ attempts: 1 }] },
    })
    await clock.advance(60_000)
    expect(driver.calls).toHaveLength(1)
  })
})

describe('retry', () => {
  test.each([
    [0, 1],
    [1, 2],
    [5, 6],
  ])('%i: so many retries, %i attempts, then its last failure', async (retry, attempts) => {
    for (const reply of [BUSY, DOWN, { ...DOWN, scope: 'destination' as const }]) {
      const { clock, driver, notifier } = emitting({ reply, notifier: { retry } })
      const end = notifier.info('a', {}).catch((error: NotifyError) => error)
      await clock.advance(59_000)
      expect(await end).toMatchObject({
        code: reply.code,
        reason: reply.reason,
        retryable: true,
        receipt: { results: [{ attempts }] },
      })
      expect(driver.calls).toHaveLength(attempts)
    }
  })

  test.each([-1, Number.POSITIVE_INFINITY, undefined])(
    '%s: until the deadline, which names the latest trouble',
    async (retry) => {
      const { clock, driver, notifier } = emitting({
        reply: { ...BUSY, message: 'The queue is full.' },
        notifier: retry === undefined ? {} : { retry },
      })
      const end = notifier.info('a', {}).catch((error: NotifyError) => error)
      await clock.advance(59_999)
      expect(notifier.stats().pending).toBe(1)
      await clock.advance(1)
      const error = await end
      expect(error).toMatchObject({
        code: 'DEADLINE',
        maybeSent: false,
        message: expect.stringContaining('THROTTLED: The queue is full.'),
      })
      const attempts = driver.calls.length
      expect(attempts).toBeGreaterThan(8)
      await clock.advance(60_000)
      expect(driver.calls).toHaveLength(attempts)
    },
  )

  test('0 in an outage fails each by its own attempt, one probe at a time', async () => {
    const { clock, driver, notifier } = emitting({
      reply: DOWN,
      notifier: { retry: 0 },
      capabilities: { maxBatch: 1 },
    })
    for (let index = 0; index < 5; index++) notifier.info('a', {})
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 4 })
    await clock.advance(10_000)
    expect(notifier.stats()).toMatchObject({ failed: 5, pending: 0 })
    expect(driver.calls).toHaveLength(5)
  })
})

describe('maybeSent is sticky', () => {
  test.each<[what: string, last: ReturnType<typeof trouble>]>([
    ['a failure', trouble('FORBIDDEN')],
    ['a refusal that fails all', trouble('UNAUTHENTICATED', { scope: 'transport' })],
  ])('over attempts, to the end by %s', async (_, last) => {
    const { clock, driver, notifier } = emitting()
    const end = notifier.info('a', {}).catch((error: NotifyError) => error)
    await clock.settle()
    driver.fail({ ...DOWN, maybeSent: true })
    await clock.advance(2_000)
    driver.fail(last)
    expect(await end).toMatchObject({
      code: last.code,
      maybeSent: true,
      receipt: { results: [{ failure: { maybeSent: true } }] },
    })
  })

  test('to a deadline, and an abort', async () => {
    const abort = new AbortController()
    const { clock, driver, failures, notifier } = emitting()
    notifier.info('a', {})
    notifier.info('b', {}, { signal: abort.signal })
    notifier.info('never sent', {}, { key: 'k' })
    await clock.settle()
    driver.fail({ ...DOWN, maybeSent: true }, 'a')
    driver.fail({ ...DOWN, maybeSent: true }, 'b')
    driver.fail(DOWN, 'never sent')
    driver.reply = DOWN
    abort.abort()
    await clock.advance(60_000)
    expect(failures.map(({ code, maybeSent }) => [code, maybeSent])).toEqual([
      ['ABORTED', true],
      ['DEADLINE', true],
      ['DEADLINE', false],
    ])
  })

  test('but is not caught from another message', async () => {
    const { clock, driver, failures, notifier } = emitting()
    notifier.info('sent', {})
    await clock.settle()
    driver.status('blocked')
    notifier.info('waiting', {})
    driver.fail(trouble('UNAUTHENTICATED', { scope: 'transport', maybeSent: true }))
    await clock.settle()
    expect(failures.map(({ maybeSent, receipt }) => [maybeSent, receipt?.results[0]?.attempts])).toEqual([
      [false, 0],
      [true, 1],
    ])
  })
})

describe('a request that the broker refused as a whole', () => {
  test('is handed over again at once, each message in a call of its own, and that is no attempt', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { retry: 0 } })
    const ends = ['a', 'b', 'c'].map((name) => notifier.info(name, {}).catch((error: NotifyError) => error))
    await clock.settle()
    driver.fail(SPLIT)
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([3, 1, 1, 1])
    expect(driver.sent).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
    driver.confirm('a')
    driver.fail(trouble('TOO_LARGE'), 'b')
    driver.confirm('c')
    expect(await Promise.all(ends)).toMatchObject([
      { results: [{ status: 'confirmed', attempts: 1 }] },
      { code: 'TOO_LARGE', receipt: { results: [{ attempts: 1 }] } },
      { results: [{ status: 'confirmed', attempts: 1 }] },
    ])
  })

  test('stays alone in later attempts, and what comes after it travels together', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (const name of ['a', 'b']) notifier.info(name, {})
    await clock.settle()
    driver.fail(SPLIT)
    driver.status('blocked')
    for (const name of ['c', 'd']) notifier.info(name, {})
    driver.status('up')
    await clock.settle()
    driver.fail(DOWN)
    driver.reply = 'confirm'
    await clock.advance(200)
    expect(driver.calls.slice(1).map(({ messages }) => messages.length)).toEqual([1, 1, 2, 1, 1, 2])
  })

  test('a second time waits, so that a driver that always says so keeps nobody busy', async () => {
    for (const reply of [SPLIT, BEHIND_FAILURE]) {
      const { clock, driver, notifier } = emitting({ reply })
      const end = notifier.info('a', {}).catch((error: NotifyError) => error)
      await clock.settle()
      expect(driver.calls).toHaveLength(2)
      await clock.advance(60_000)
      expect(driver.calls.length).toBeLessThan(60)
      expect(await end).toMatchObject({ code: 'DEADLINE' })
    }
  })
})

describe('an attempt that takes longer than attemptTimeoutMs', () => {
  const slow = (options: Parameters<typeof emitting>[0] = {}) =>
    emitting({ ...options, notifier: { ...FOREVER, attemptTimeoutMs: 1_000, ...options.notifier } })

  test('has failed: UNAVAILABLE, attempt-timeout, maybeSent', async () => {
    const { clock, notifier, statuses } = slow({ notifier: { retry: 0 } })
    const end = notifier.info('a', {}).catch((error: NotifyError) => error)
    await clock.advance(999)
    expect(notifier.stats().pending).toBe(1)
    await clock.advance(1)
    expect(await end).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'attempt-timeout',
      retryable: true,
      maybeSent: true,
    })
    expect(statuses).toMatchObject([{ state: 'down', destination: 'notifications.info' }])
  })

  test('shuts the gate of its destination, whose other messages wait for one probe', async () => {
    const { clock, driver, notifier } = slow()
    for (const name of ['a', 'b', 'c']) notifier.info(name, {})
    await clock.settle()
    driver.confirm('b')
    await clock.advance(1_200)
    expect(driver.sent).toEqual(['a', 'b', 'c', 'a'])
    notifier.error('d', {})
    await clock.settle()
    expect(driver.sent.slice(4)).toEqual(['d'])
  })

  test('and succeeds late confirms the message, while it waits and while it is tried again', async () => {
    const { clock, driver, notifier } = slow()
    const ends = ['a', 'b'].map((name) => notifier.info(name, {}))
    await clock.settle()
    await clock.advance(1_200)
    expect(driver.sent).toEqual(['a', 'b', 'a'])
    const [a, b, again] = driver.handed
    a?.settle()
    b?.settle()
    expect((await Promise.all(ends)).map(({ results }) => results[0])).toMatchObject([
      { status: 'confirmed', attempts: 2 },
      { status: 'confirmed', attempts: 1 },
    ])
    expect(notifier.stats()).toMatchObject({ confirmed: 2, pending: 0, drivers: [{ late: 0, inFlight: 0 }] })
    // The retry then running is ignored, but for the gate, of which it is the probe.
    notifier.info('c', {})
    await clock.settle()
    expect(driver.sent).toHaveLength(3)
    again?.settle(trouble('INVALID'))
    await clock.settle()
    expect(driver.sent.slice(3)).toEqual(['c'])
    expect(notifier.stats()).toMatchObject({ confirmed: 2, failed: 0, drivers: [{ late: 1 }] })
  })

  test('and fails late changes nothing', async () => {
    const { clock, driver, notifier } = slow()
    const emission = notifier.info('a', {})
    await clock.settle()
    await clock.advance(1_200)
    driver.handed[0]?.settle(trouble('FORBIDDEN', { scope: 'transport' }))
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ pending: 1, drivers: [{ late: 0, inFlight: 1 }] })
    driver.confirm()
    await expect(emission).resolves.toMatchObject({ results: [{ status: 'confirmed' }] })
  })

  test('and answers after the end is counted as late, and nothing else', async () => {
    const { clock, driver, failures, notifier } = slow({ notifier: { retry: 0 } })
    notifier.info('a', {})
    notifier.info('b', {})
    await clock.advance(1_000)
    driver.handed[0]?.settle()
    driver.handed[1]?.settle(DOWN)
    await clock.settle()
    expect(failures).toHaveLength(2)
    expect(notifier.stats()).toMatchObject({
      failed: 2,
      confirmed: 0,
      drivers: [{ failed: 2, confirmed: 0, late: 2 }],
    })
  })

  test('counts from its own hand-over, for each call', async () => {
    const { clock, driver, notifier } = slow({ notifier: { retry: 0 } })
    notifier.info('a', {})
    await clock.advance(600)
    notifier.error('b', {})
    await clock.advance(400)
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 1 })
    await clock.advance(599)
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 1 })
    await clock.advance(1)
    expect(notifier.stats()).toMatchObject({ failed: 2, pending: 0 })
    expect(driver.calls.map(({ timeoutMs }) => timeoutMs)).toEqual([1_000, 1_000])
  })

  test('leaves the window, in messages, bytes and calls, once and for all', async () => {
    const { clock, driver, notifier } = slow({
      capabilities: { window: { messages: 4, bytes: 1_400, calls: 1 } },
    })
    for (let index = 0; index < 3; index++) {
      notifier.info('silent', { text: 'x'.repeat(200) })
      notifier.info('there', { text: 'x'.repeat(200) }, { topics: ['other'] })
    }
    driver.reply = ({ destination }) =>
      destination.topic === 'other' && clock.now() > 1_000 ? 'confirm' : 'hold'
    await clock.advance(5_000)
    expect(notifier.stats()).toMatchObject({ confirmed: 3, pending: 3 })
    // Late answers give back no place a second time.
    driver.reply = 'hold'
    for (let rounds = 0; rounds < 10; rounds++) {
      driver.confirm()
      await clock.advance(300)
    }
    expect(notifier.stats()).toMatchObject({ confirmed: 6, pending: 0 })
    for (let index = 0; index < 20; index++) notifier.info('again', {}, { topics: [`t${index % 5}`] })
    await clock.settle()
    expect(driver.open).toHaveLength(4)
    // And the attempts that are under way are still watched.
    await clock.advance(1_000)
    expect(notifier.stats().drivers[0]?.inFlight).toBeLessThan(4)
  })

  test('leaves its driver with one more window at the most: then only probes are sent', async () => {
    const { clock, driver, notifier } = slow({ capabilities: { window: { messages: 10, bytes: 100_000 } } })
    for (let index = 0; index < 10; index++) notifier.info('first', {})
    await clock.advance(1_000)
    for (let index = 0; index < 10; index++) notifier.info('second', {}, { topics: ['second'] })
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([10, 1])
    // With room again, all may go.
    driver.open[0]?.settle()
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length).slice(0, 3)).toEqual([10, 1, 8])
  })

  test('is bounded in what a silent driver comes to hold, over many destinations', async () => {
    const topics = Array.from({ length: 12 }, (_, index) => `t${index}`)
    const window = { messages: 10, bytes: 100_000 }
    const { clock, driver, notifier } = slow({ capabilities: { window } })
    const held = new Map<number, number>()
    for (let second = 0; second < 20; second++) {
      for (const topic of topics)
        for (let index = 0; index < 10; index++) notifier.info('a', {}, { topics: [topic] })
      const before = driver.calls.length
      await clock.advance(1_000)
      held.set(second, driver.open.length)
      if (driver.open.length > 2 * window.messages) {
        for (const { messages } of driver.calls.slice(before)) expect(messages).toHaveLength(1)
      }
    }
    expect(held.get(1)).toBeLessThanOrEqual(2 * window.messages + topics.length)
    // One more for each destination and attempt, however much waits.
    expect(driver.open.length).toBeLessThanOrEqual(2 * window.messages + topics.length * 20)
    expect(notifier.stats().drivers[0]?.inFlight).toBeLessThanOrEqual(window.messages)
    // And when it wakes up, all that it holds is taken for what it is.
    driver.reply = 'confirm'
    driver.confirm()
    await clock.advance(5_000)
    expect(notifier.stats()).toMatchObject({ confirmed: topics.length * 200, pending: 0 })
  })
})
