import { describe, expect, test, vi } from 'vitest'
import { type Lane, Lanes } from '../src/sender/lane.ts'
import { emitting } from './support/emitting.ts'
import { BEHIND_FAILURE, DOWN, envelopeOf, type Scripted, trouble } from './support/publisher.ts'

const FOREVER = { timeoutMs: Number.POSITIVE_INFINITY }
const BUSY = trouble('THROTTLED', { reason: 'queue-full' })

/** What the broker ends up with, of one key: the first confirmed attempt of each, in order. */
const stored = (confirmed: string[]) => [...new Set(confirmed)]

/** Emits `names` under one key. */
const emitAll = ({ notifier }: ReturnType<typeof emitting>, names: readonly string[], key = 'k') => {
  for (const name of names) notifier.info(name, {}, { key })
}
const open = (driver: Scripted) => driver.open.map(({ message }) => envelopeOf(message).event_type)

describe('where the driver promises no order', () => {
  test('one message of a key is in flight at a time, others go on', async () => {
    const setup = emitting()
    const { clock, driver, notifier } = setup
    emitAll(setup, ['a1', 'a2', 'a3'], 'a')
    emitAll(setup, ['b1', 'b2'], 'b')
    notifier.info('none', {})
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([3])
    expect(open(driver)).toEqual(['a1', 'b1', 'none'])
    driver.confirm('a1')
    await clock.settle()
    expect(driver.sent.slice(3)).toEqual(['a2'])
    driver.confirm('a2')
    driver.confirm('b1')
    await clock.settle()
    expect(driver.sent.slice(4)).toEqual(['a3', 'b2'])
  })

  test.each([
    ['its own failure', BUSY],
    ['an outage', DOWN],
    ['an outage of the destination', { ...DOWN, scope: 'destination' as const }],
    ['a split', trouble('UNAVAILABLE', { reason: 'split' })],
  ])('the order of a key holds over retries after %s', async (_, failure) => {
    const setup = emitting({ notifier: FOREVER })
    const { clock, driver, notifier } = setup
    const names = Array.from({ length: 10 }, (_, index) => `e${index}`)
    emitAll(setup, names)
    const confirmed: string[] = []
    let turn = 0
    while (notifier.stats().pending > 0) {
      await clock.advance(100)
      expect(driver.open.length).toBeLessThanOrEqual(1)
      for (const name of open(driver)) {
        if (turn++ % 3 === 2) {
          confirmed.push(name)
          driver.confirm()
        } else driver.fail(failure)
      }
    }
    expect(confirmed).toEqual(names)
  })

  test('after a failure for good the next one goes', async () => {
    const setup = emitting({ reply: 'hold' })
    const { clock, driver } = setup
    emitAll(setup, ['a', 'b', 'c'])
    await clock.settle()
    driver.fail(trouble('INVALID'))
    await clock.settle()
    expect(open(driver)).toEqual(['b'])
  })

  test('a message that times out holds its key until then, and its retry goes before the next', async () => {
    const setup = emitting({ notifier: { ...FOREVER, attemptTimeoutMs: 1_000 } })
    const { clock, driver } = setup
    emitAll(setup, ['a', 'b'])
    await clock.advance(999)
    expect(driver.sent).toEqual(['a'])
    await clock.advance(200)
    expect(driver.sent).toEqual(['a', 'a'])
    driver.confirm()
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'a', 'b'])
  })

  test('a message that its caller gave up in flight holds its key until its call settles or times out', async () => {
    for (const settles of [true, false]) {
      const setup = emitting({ notifier: { ...FOREVER, attemptTimeoutMs: 1_000 } })
      const { clock, driver, notifier } = setup
      const abort = new AbortController()
      notifier.info('a', {}, { key: 'k', signal: abort.signal })
      emitAll(setup, ['b', 'c'])
      await clock.settle()
      abort.abort()
      await clock.advance(900)
      expect(notifier.stats()).toMatchObject({ failed: 1, pending: 2 })
      expect(driver.sent).toEqual(['a'])
      if (settles) driver.confirm()
      await clock.advance(settles ? 0 : 300)
      expect(driver.sent).toEqual(['a', 'b'])
    }
  })

  test('a message that its caller gave up while it waited lets the next one go at once', async () => {
    const setup = emitting({ notifier: FOREVER })
    const { clock, driver, notifier } = setup
    const abort = new AbortController()
    notifier.info('a', {}, { key: 'k', signal: abort.signal })
    emitAll(setup, ['b'])
    await clock.settle()
    driver.fail({ ...BUSY, retryAfterMs: 3_600_000 })
    await clock.advance(10)
    expect(driver.sent).toEqual(['a'])
    abort.abort()
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b'])
  })

  test('a message that ended at its deadline lets the next one go at once', async () => {
    const setup = emitting({ notifier: FOREVER })
    const { clock, driver, notifier } = setup
    notifier.info('a', {}, { key: 'k', timeoutMs: 500 })
    emitAll(setup, ['b'])
    await clock.settle()
    driver.fail({ ...BUSY, retryAfterMs: 3_600_000 })
    await clock.advance(500)
    expect(driver.sent).toEqual(['a', 'b'])
  })

  test('a key is a matter of one destination: across priorities and topics there is no order', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('info', {}, { key: 'k' })
    notifier.error('error', {}, { key: 'k' })
    notifier.info('other', {}, { key: 'k', topics: ['other'] })
    await clock.settle()
    expect(new Set(driver.sent)).toEqual(new Set(['error', 'info', 'other']))
  })
})

describe('where the driver promises that what is stored of a key is a prefix', () => {
  const ordered = (notifier = {}) =>
    emitting({ capabilities: { ordering: 'key' }, notifier: { ...FOREVER, ...notifier } })

  test('messages of a key travel in one call, one call at a time', async () => {
    const setup = ordered()
    const { clock, driver, notifier } = setup
    emitAll(setup, ['a1', 'a2', 'a3'], 'a')
    await clock.settle()
    emitAll(setup, ['a4', 'a5'], 'a')
    emitAll(setup, ['b1'], 'b')
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([3, 1])
    driver.confirm('a1')
    driver.confirm('a3')
    await clock.settle()
    expect(driver.calls).toHaveLength(2)
    driver.confirm('a2')
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([3, 1, 2])
    expect(driver.sent).toEqual(['a1', 'a2', 'a3', 'b1', 'a4', 'a5'])
    expect(notifier.stats().confirmed).toBe(3)
  })

  test('after a failure within a key the rest goes again once the first has, and no attempt is counted', async () => {
    const setup = ordered({ retry: 1 })
    const { clock, driver, notifier } = setup
    emitAll(setup, ['a', 'b', 'c'])
    const last = notifier.info('d', {}, { key: 'k' })
    await clock.settle()
    driver.confirm('a')
    driver.fail(BUSY, 'b')
    driver.fail(BEHIND_FAILURE)
    await clock.advance(101)
    expect(driver.sent.slice(4)).toEqual(['b'])
    driver.confirm()
    await clock.settle()
    expect(driver.sent.slice(5)).toEqual(['c', 'd'])
    driver.confirm()
    expect((await last).results).toMatchObject([{ status: 'confirmed', attempts: 1 }])
  })

  test('after a failure for good the rest goes without it', async () => {
    const setup = ordered()
    const { clock, driver } = setup
    emitAll(setup, ['a', 'b', 'c'])
    await clock.settle()
    driver.fail(trouble('INVALID'), 'a')
    driver.fail(BEHIND_FAILURE)
    await clock.settle()
    expect(driver.sent.slice(3)).toEqual(['b', 'c'])
  })

  test('the order of a key holds over random failures of such a driver', async () => {
    const setup = ordered()
    const { clock, driver, notifier } = setup
    const keys = ['a', 'b', 'c']
    const names = (key: string) => Array.from({ length: 30 }, (_, index) => `${key}${index}`)
    const confirmed: string[] = []
    driver.onPublish = (batch, settle) => {
      const failed = new Set<string | undefined>()
      for (const message of batch) {
        const refused = clock.random() < 0.3
        // Some answers get lost.
        const lost = clock.random() < 0.1
        if (failed.has(message.key)) settle(message, BEHIND_FAILURE)
        else {
          if (refused || lost) failed.add(message.key)
          if (!refused) confirmed.push(envelopeOf(message).event_type)
          if (refused) settle(message, clock.random() < 0.3 ? DOWN : BUSY)
          else settle(message, lost ? { ...DOWN, maybeSent: true } : undefined)
        }
      }
    }
    for (let index = 0; index < 30; index++) {
      for (const key of keys) emitAll(setup, [`${key}${index}`], key)
      if (index % 7 === 0) await clock.advance(50)
    }
    await clock.advance(600_000)
    expect(notifier.stats()).toMatchObject({ confirmed: 90, pending: 0 })
    for (const key of keys) expect(stored(confirmed.filter((name) => name[0] === key))).toEqual(names(key))
  })
})

test('a key of which nothing is open any more is forgotten', async () => {
  const get = vi.spyOn(Lanes.prototype, 'get')
  const { clock, driver, notifier } = emitting({ notifier: { attemptTimeoutMs: 1_000, timeoutMs: 3_000 } })
  const abort = new AbortController()
  for (const name of ['confirmed', 'failed', 'silent']) {
    for (let index = 0; index < 5; index++) notifier.info(name, {}, { key: name })
  }
  for (let index = 0; index < 5; index++)
    notifier.info('aborted', {}, { key: 'aborted', signal: abort.signal })
  await clock.settle()
  abort.abort()
  for (let rounds = 0; rounds < 5; rounds++) {
    driver.confirm('confirmed')
    driver.fail(trouble('INVALID'), 'failed')
    await clock.advance(1_000)
  }
  // What is silent is found out about when there is something to send again: until then no timer is set for it.
  driver.reply = 'confirm'
  notifier.info('later', {})
  await clock.advance(1_000)
  const lanes = new Set(get.mock.results.map(({ value }) => value as Lane))
  get.mockRestore()
  expect(notifier.stats()).toMatchObject({ emitted: 21, pending: 0 })
  expect(notifier.stats().confirmed).toBeGreaterThan(1)
  expect([...lanes].map(({ idle }) => idle)).toEqual([true])
})

test('without a key order is kept as far as nothing fails', async () => {
  const { clock, driver, notifier } = emitting({ reply: 'confirm', capabilities: { maxBatch: 3 } })
  const names = Array.from({ length: 20 }, (_, index) => `e${index}`)
  for (const name of names) notifier.info(name, {})
  await clock.settle()
  expect(driver.sent).toEqual(names)
})
