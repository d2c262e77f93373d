import { describe, expect, test } from 'vitest'
import { type NotifyError, PRIORITIES, type Priority, type Receipt } from '../src/index.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, trouble } from './support/publisher.ts'

const FOREVER = { timeoutMs: Number.POSITIVE_INFINITY }
const AWAY = trouble('UNAVAILABLE', { scope: 'destination' })

/** A notifier whose driver is blocked, so that everything waits, and what became of each emit by its name. */
function waiting(
  buffer: { messages?: number; bytes?: number },
  options: Parameters<typeof emitting>[0] = {},
) {
  const setup = emitting({ ...options, notifier: { ...FOREVER, buffer, ...options.notifier } })
  const ends = new Map<string, NotifyError | Receipt>()
  setup.driver.status('blocked')
  const emit = (
    priority: Priority,
    name: string,
    rest: { bytes?: number; topics?: string[]; key?: string } = {},
  ) => {
    const { bytes = 0, ...options } = rest
    const payload = { text: 'x'.repeat(bytes) }
    setup.notifier.notify(priority, name, payload, options).then(
      (receipt) => ends.set(name, receipt),
      (error) => ends.set(name, error),
    )
  }
  /** Names with what ended them, in the order of their ends. */
  const ended = async () => {
    await setup.clock.microtasks()
    return Object.fromEntries([...ends].map(([name, end]) => [name, 'code' in end ? end.code : 'confirmed']))
  }
  return { ...setup, emit, ended }
}

describe('the buffer is bounded', () => {
  test('in messages, in flight included', async () => {
    const { clock, driver, emit, ended, notifier } = waiting({ messages: 4 })
    emit('INFO', 'a')
    emit('INFO', 'b')
    driver.status('up')
    await clock.settle()
    for (const name of ['c', 'd', 'e', 'f']) emit('INFO', name)
    expect(await ended()).toEqual({ e: 'OVERLOADED', f: 'OVERLOADED' })
    driver.confirm('a')
    emit('INFO', 'g')
    expect(await ended()).toEqual({ e: 'OVERLOADED', f: 'OVERLOADED', a: 'confirmed' })
    expect(notifier.stats()).toMatchObject({ pending: 4, failed: 2, drivers: [{ pending: 4 }] })
  })

  test('in bytes', async () => {
    const { emit, ended } = waiting({ bytes: 2_000 })
    emit('INFO', 'a', { bytes: 1_000 })
    emit('INFO', 'b', { bytes: 1_000 })
    emit('INFO', 'c', { bytes: 100 })
    expect(await ended()).toEqual({ b: 'OVERLOADED' })
  })

  test('by default to 10,000 messages and 32 MiB', async () => {
    const many = waiting({})
    for (let index = 0; index < 10_001; index++) many.notifier.info('a', {})
    expect(many.notifier.stats()).toMatchObject({ pending: 10_000, failed: 1 })
    const large = waiting({})
    for (let index = 0; index < 33; index++) large.notifier.info('a', { text: 'x'.repeat(2 ** 20 - 1_000) })
    expect(large.notifier.stats()).toMatchObject({ pending: 32, failed: 1 })
  })

  test('OVERLOADED says so: nothing was sent, and a later emit may do', async () => {
    const { emit, ended, notifier } = waiting({ messages: 1 })
    emit('INFO', 'a')
    await expect(notifier.info('b', {})).rejects.toMatchObject({
      code: 'OVERLOADED',
      retryable: false,
      maybeSent: false,
      receipt: { results: [{ status: 'failed', attempts: 0 }] },
    })
    expect(await ended()).toEqual({})
  })

  test('and where its messages or bytes are full already, OVERLOADED is decided before encoding', async () => {
    const one = emitting({ reply: 'confirm' })
    await one.notifier.info('a', {})
    const bytes = one.driver.handed[0]?.message.body.length ?? 0
    for (const limits of [{ messages: 1 }, { bytes }]) {
      let reads = 0
      const payload = {
        get a() {
          return ++reads
        },
      }
      const { notifier } = waiting(limits)
      notifier.info('a', {})
      await expect(notifier.info('b', payload)).rejects.toMatchObject({ code: 'OVERLOADED' })
      expect(notifier.stats()).toMatchObject({ pending: 1, failed: 1 })
      expect(reads).toBe(0)
    }
  })
})

test('100,000 emits in one turn are confirmed, shed or refused, and none is lost', async () => {
  const { clock, driver, failures, notifier } = emitting({ reply: 'confirm' })
  for (let index = 0; index < 100_000; index++)
    notifier.notify(PRIORITIES[(index * 3) % 7] as Priority, 'a', {})
  expect(notifier.stats()).toMatchObject({ emitted: 100_000, pending: 10_000, confirmed: 0 })
  await clock.settle()
  const { emitted, confirmed, failed, shed, pending } = notifier.stats()
  expect({ emitted, confirmed, pending, lost: failed + shed }).toEqual({
    emitted: 100_000,
    confirmed: 10_000,
    pending: 0,
    lost: 90_000,
  })
  expect(shed).toBeGreaterThan(5_000)
  expect(failures).toHaveLength(90_000)
  // What is left is the highest, and all AUDIT that had come in.
  expect(new Set(driver.handed.map(({ message }) => message.destination.priority))).toEqual(
    new Set(['CRITICAL', 'AUDIT']),
  )
})

describe('when it is full', () => {
  test('the lowest gives way to a higher one, the newest of it first', async () => {
    const { clock, driver, emit, ended } = waiting({ messages: 5 })
    for (const [priority, name] of [
      ['INFO', 'i1'],
      ['DEBUG', 'd1'],
      ['SAMPLE', 's1'],
      ['DEBUG', 'd2'],
      ['INFO', 'i2'],
    ] as const)
      emit(priority, name)
    for (const name of ['e1', 'e2', 'e3', 'e4', 'e5', 'e6']) emit('ERROR', name)
    expect(Object.entries(await ended())).toEqual([
      ['d2', 'SHED'],
      ['d1', 'SHED'],
      ['s1', 'SHED'],
      ['i2', 'SHED'],
      ['i1', 'SHED'],
      ['e6', 'OVERLOADED'],
    ])
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    expect(driver.sent).toEqual(['e1', 'e2', 'e3', 'e4', 'e5'])
  })

  test('what is shed says so', async () => {
    const { notifier } = waiting({ messages: 1 })
    const emission = notifier.debug('a', {})
    notifier.error('b', {})
    await expect(emission).rejects.toMatchObject({
      code: 'SHED',
      retryable: false,
      maybeSent: false,
      receipt: { results: [{ status: 'shed', attempts: 0 }] },
    })
    expect(notifier.stats()).toMatchObject({
      emitted: 2,
      shed: 1,
      failed: 0,
      pending: 1,
      drivers: [{ shed: 1, pending: 1 }],
    })
  })

  test('nothing gives way to its equal or its lower, and AUDIT and CRITICAL to nobody', async () => {
    for (const low of PRIORITIES) {
      for (const high of PRIORITIES) {
        const { emit, ended } = waiting({ messages: 1 })
        emit(low, 'low')
        emit(high, 'high')
        const gives =
          PRIORITIES.indexOf(low) < PRIORITIES.indexOf(high) && low !== 'AUDIT' && low !== 'CRITICAL'
        expect(await ended(), `${low} for ${high}`).toEqual(gives ? { low: 'SHED' } : { high: 'OVERLOADED' })
      }
    }
  })

  test('an AUDIT in between is stepped over', async () => {
    const { emit, ended } = waiting({ messages: 3 })
    emit('AUDIT', 'audit')
    emit('WARN', 'warn')
    emit('INFO', 'info')
    emit('ERROR', 'e1')
    emit('ERROR', 'e2')
    emit('ERROR', 'e3')
    expect(await ended()).toEqual({ info: 'SHED', warn: 'SHED', e3: 'OVERLOADED' })
  })

  test('of several topics the newest gives way', async () => {
    const { emit, ended } = waiting({ messages: 4 })
    emit('INFO', 'a', { topics: ['one'] })
    emit('INFO', 'b', { topics: ['two'] })
    emit('INFO', 'c', { topics: ['one'] })
    emit('INFO', 'd', { topics: ['two'] })
    for (const name of ['e1', 'e2', 'e3']) emit('ERROR', name, { topics: ['three'] })
    expect(Object.keys(await ended())).toEqual(['d', 'c', 'b'])
  })

  test('as many give way as its bytes need, and no more', async () => {
    const { emit, ended } = waiting({ bytes: 3_000 })
    emit('DEBUG', 'd1', { bytes: 500 })
    emit('DEBUG', 'd2', { bytes: 500 })
    emit('DEBUG', 'd3', { bytes: 500 })
    emit('ERROR', 'e', { bytes: 1_500 })
    expect(await ended()).toEqual({ d3: 'SHED', d2: 'SHED' })
  })

  test('one of the same size is enough', async () => {
    const one = emitting({ reply: 'confirm' })
    await one.notifier.debug('a', {})
    const bytes = 2 * (one.driver.handed[0]?.message.body.length ?? 0)
    const { notifier } = waiting({ bytes })
    for (let index = 0; index < 2; index++) notifier.debug('a', {})
    notifier.error('a', {})
    expect(notifier.stats()).toMatchObject({ shed: 1, failed: 0, pending: 2 })
  })

  test('nothing is shed in vain: where it would not do, the new one is refused', async () => {
    const { emit, ended } = waiting({ bytes: 3_000 })
    emit('CRITICAL', 'kept', { bytes: 2_000 })
    emit('DEBUG', 'd1', { bytes: 100 })
    emit('DEBUG', 'd2', { bytes: 100 })
    emit('ERROR', 'e', { bytes: 1_500 })
    expect(await ended()).toEqual({ e: 'OVERLOADED' })
  })

  test('what was handed over is never shed, what backs off or waits behind its key is', async () => {
    const { clock, driver, emit, ended, notifier } = waiting({ messages: 4 })
    emit('INFO', 'in flight')
    emit('INFO', 'backs off', { key: 'k' })
    driver.status('up')
    await clock.settle()
    driver.fail(trouble('THROTTLED', { retryAfterMs: 60_000 }), 'backs off')
    emit('INFO', 'behind', { key: 'k' })
    emit('INFO', 'blocked')
    driver.status('blocked')
    for (const name of ['e1', 'e2', 'e3', 'e4']) emit('ERROR', name)
    expect(Object.entries(await ended())).toEqual([
      ['blocked', 'SHED'],
      ['behind', 'SHED'],
      ['backs off', 'SHED'],
      ['e4', 'OVERLOADED'],
    ])
    driver.reply = 'confirm'
    driver.confirm()
    driver.status('up')
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ confirmed: 4, shed: 3, failed: 1, pending: 0 })
  })

  test('an emit to several topics of which one is shed is shed, once all have ended', async () => {
    const { clock, driver, emit, ended, notifier } = waiting({ messages: 2 })
    emit('INFO', 'a', { topics: ['one', 'two'] })
    emit('ERROR', 'e', { topics: ['three'] })
    expect(await ended()).toEqual({})
    expect(notifier.stats()).toMatchObject({ shed: 0, pending: 2, drivers: [{ shed: 1, pending: 2 }] })
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    expect(await ended()).toEqual({ e: 'confirmed', a: 'SHED' })
    expect(notifier.stats()).toMatchObject({ shed: 1, confirmed: 1, pending: 0 })
  })

  test('the end of a shed emit frees its key', async () => {
    const { clock, driver, emit, ended } = waiting({ messages: 2 })
    emit('INFO', 'a', { key: 'k' })
    emit('INFO', 'b', { key: 'k' })
    emit('ERROR', 'e')
    expect(await ended()).toEqual({ b: 'SHED' })
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    emit('INFO', 'c', { key: 'k' })
    await clock.settle()
    expect(await ended()).toMatchObject({ a: 'confirmed', c: 'confirmed' })
  })
})

describe('a destination that does not answer', () => {
  test('holds at most half of it, and leaves the rest to the others', async () => {
    const { clock, driver, emit, ended, notifier } = waiting({ messages: 10 }, { reply: AWAY })
    driver.status('up')
    emit('INFO', 'first')
    await clock.settle()
    let reads = 0
    for (let index = 0; index < 9; index++)
      notifier
        .info('more', {
          get a() {
            return ++reads
          },
        })
        .catch(() => {})
    expect(reads).toBe(4)
    expect(notifier.stats()).toMatchObject({ pending: 5, failed: 5 })
    for (let index = 0; index < 5; index++) emit('INFO', `other ${index}`, { topics: ['other'] })
    emit('INFO', 'one too many', { topics: ['other'] })
    expect(await ended()).toEqual({ 'one too many': 'OVERLOADED' })
    expect(notifier.stats().pending).toBe(10)
  })

  test('in bytes as well', async () => {
    const { clock, driver, emit, ended } = waiting({ bytes: 10_000 }, { reply: AWAY })
    driver.status('up')
    emit('INFO', 'a', { bytes: 3_000 })
    await clock.settle()
    emit('INFO', 'b', { bytes: 3_000 })
    emit('INFO', 'c', { bytes: 1_000 })
    expect(await ended()).toEqual({ b: 'OVERLOADED' })
  })

  test('does not bound an outage of all of it', async () => {
    const { clock, driver, notifier } = waiting({ messages: 10 }, { reply: DOWN })
    driver.status('up')
    notifier.info('a', {})
    await clock.settle()
    for (let index = 0; index < 10; index++) notifier.info('b', {})
    expect(notifier.stats()).toMatchObject({ pending: 10, failed: 1 })
  })
})

test('what ends frees its place at once: confirmed, failed, dropped by deadline or signal, also in flight', async () => {
  const abort = new AbortController()
  const { clock, driver, notifier } = emitting({ notifier: { buffer: { messages: 4 } } })
  notifier.info('a', {})
  notifier.info('b', {})
  notifier.info('c', {}, { timeoutMs: 100 })
  notifier.info('d', {}, { signal: abort.signal })
  await clock.settle()
  driver.confirm('a')
  driver.fail(trouble('INVALID'), 'b')
  abort.abort()
  await clock.advance(100)
  expect(notifier.stats()).toMatchObject({ confirmed: 1, failed: 3, pending: 0 })
  for (let index = 0; index < 4; index++) notifier.info('e', {})
  await clock.settle()
  expect(notifier.stats()).toMatchObject({ failed: 3, pending: 4 })
})

test('and so do its bytes, of the whole and of its destination', async () => {
  const payload = { text: 'x'.repeat(1_000) }
  const { clock, driver, failures, notifier } = emitting({
    notifier: { ...FOREVER, buffer: { bytes: 6_000 } },
  })
  for (let rounds = 0; rounds < 5; rounds++) {
    const abort = new AbortController()
    for (const name of ['confirmed', 'failed']) notifier.info(name, payload)
    notifier.info('dropped', payload, { timeoutMs: 100 })
    notifier.info('aborted', payload, { signal: abort.signal })
    await clock.settle()
    driver.confirm('confirmed')
    driver.fail(trouble('INVALID'), 'failed')
    abort.abort()
    await clock.advance(100)
  }
  expect(notifier.stats()).toMatchObject({ confirmed: 5, failed: 15, pending: 0 })
  expect(failures.some(({ code }) => code === 'OVERLOADED')).toBe(false)
  // A destination that does not answer has half of it, whatever it held before.
  driver.reply = { ...AWAY, retryAfterMs: 60_000 }
  driver.confirm()
  notifier.info('a', payload)
  await clock.settle()
  notifier.info('b', payload)
  expect(notifier.stats()).toMatchObject({ pending: 2, failed: 15 })
  notifier.info('c', payload)
  expect(notifier.stats()).toMatchObject({ pending: 2, failed: 16 })
})
