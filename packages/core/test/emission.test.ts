import { describe, expect, test } from 'vitest'
import { type Emission, isNotifyError, type NotifyError } from '../src/index.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, scripted, trouble } from './support/publisher.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

describe('an emission', () => {
  test('is awaitable, no Promise, and knows its message_id at once', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    const emission = notifier.info('a', {})
    expect(emission).not.toBeInstanceOf(Promise)
    expect(emission.message_id).toMatch(UUID)
    const receipt = await emission
    expect(receipt).toEqual({
      message_id: emission.message_id,
      results: [{ driver: 'scripted', topic: 'notifications', status: 'confirmed', attempts: 1 }],
    })
    expect(driver.handed[0]?.message.id).toBe(emission.message_id)
    expect(notifier.info('a', {}).message_id).not.toBe(emission.message_id)
  })

  test('does what a promise does with then, catch and finally', async () => {
    const { notifier } = emitting({ reply: ({ id }) => (id === 'bad' ? trouble('INVALID') : 'confirm') })
    const good = notifier.info('a', {}, { messageId: 'good' })
    const bad = notifier.info('a', {}, { messageId: 'bad' })
    const heard: string[] = []
    await expect(good.then(({ message_id }) => message_id)).resolves.toBe('good')
    await expect(good.catch(() => 'caught')).resolves.toMatchObject({ message_id: 'good' })
    await expect(good.finally(() => heard.push('good'))).resolves.toMatchObject({ message_id: 'good' })
    await expect(
      bad.then(
        () => 'confirmed',
        ({ code }) => code,
      ),
    ).resolves.toBe('INVALID')
    await expect(bad.catch(({ code }) => code)).resolves.toBe('INVALID')
    await expect(bad.finally(() => heard.push('bad'))).rejects.toMatchObject({ code: 'INVALID' })
    await expect(bad.then(null, null)).rejects.toMatchObject({ code: 'INVALID' })
    expect(heard).toEqual(['good', 'bad'])
    expect(await Promise.allSettled([good, bad])).toMatchObject([
      { status: 'fulfilled' },
      { status: 'rejected' },
    ])
    await expect((async () => good)()).resolves.toMatchObject({ message_id: 'good' })
    await expect(good.then(() => Promise.reject(new Error('theirs')))).rejects.toThrow('theirs')
  })

  test('answers all who ask, before its end as after it', async () => {
    const { clock, driver, notifier } = emitting()
    const [good, bad] = [notifier.info('good', {}), notifier.info('bad', {})]
    const asked = [good, good, bad, bad].map((emission) =>
      emission.then(
        () => 'confirmed',
        ({ code }) => code,
      ),
    )
    await clock.settle()
    driver.fail(trouble('INVALID'), 'bad')
    driver.confirm()
    asked.push(
      ...[good, bad].map((emission) =>
        emission.then(
          () => 'confirmed',
          ({ code }) => code,
        ),
      ),
    )
    expect(await Promise.all(asked)).toEqual([
      'confirmed',
      'confirmed',
      'INVALID',
      'INVALID',
      'confirmed',
      'INVALID',
    ])
  })

  test('of what goes nowhere does so, too', async () => {
    const { notifier } = emitting({ notifier: { driver: scripted({ capabilities: { discards: true } }) } })
    const emission = notifier.info('a', {})
    const heard: string[] = []
    expect(await emission.then()).toMatchObject({ results: [] })
    expect(await emission.then(null)).toMatchObject({ message_id: emission.message_id })
    expect(await emission.then(({ results }) => results.length)).toBe(0)
    expect(await emission.then(async () => 'later')).toBe('later')
    expect(await emission.then(() => {})).toBeUndefined()
    expect(await emission.catch(() => 'never')).toMatchObject({ results: [] })
    expect(await emission.finally(() => heard.push('ended'))).toMatchObject({ results: [] })
    expect(heard).toEqual(['ended'])
    const boom = new Error('theirs')
    await expect(
      emission.then(() => {
        throw boom
      }),
    ).rejects.toBe(boom)
  })

  test('fails with a NotifyError that says everything, and the same one to whoever asks', async () => {
    const cause = new Error('native')
    const { notifier } = emitting({
      reply: trouble('UNROUTABLE', { reason: 'no-route', message: 'No queue is bound.', cause }),
    })
    const emission = notifier.info('a', {})
    const error = await emission.catch((error: NotifyError) => error)
    expect(isNotifyError(error)).toBe(true)
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({
      name: 'NotifyError',
      code: 'UNROUTABLE',
      reason: 'no-route',
      retryable: false,
      maybeSent: false,
      cause,
      message: 'UNROUTABLE (no-route): No queue is bound.',
      receipt: {
        message_id: emission.message_id,
        results: [
          {
            driver: 'scripted',
            topic: 'notifications',
            status: 'failed',
            attempts: 1,
            failure: { code: 'UNROUTABLE' },
          },
        ],
      },
    })
    expect(await emission.catch((again: NotifyError) => again)).toBe(error)
  })

  test('says what to do where the driver says nothing', async () => {
    const { notifier } = emitting({ reply: trouble('FORBIDDEN') })
    await expect(notifier.info('a', {})).rejects.toMatchObject({
      message: 'FORBIDDEN: the broker does not permit this to these credentials; grant the right.',
      reason: undefined,
    })
  })
})

describe('a failure', () => {
  const bad = { scope: 'message', code: 'INVALID', retryable: false, maybeSent: false } as const

  test('that nobody asked for is told to onFailure, once, a macrotask later', async () => {
    const { clock, failures, notifier } = emitting({ reply: bad })
    const emission = notifier.info('a', {})
    notifier.info('', {})
    await clock.microtasks()
    expect(failures).toEqual([])
    await clock.settle()
    expect(failures).toMatchObject([
      { reason: 'event-type' },
      { code: 'INVALID', receipt: { message_id: emission.message_id } },
    ])
    await clock.settle()
    expect(failures).toHaveLength(2)
  })

  test('that was asked for, before or within that macrotask, is not told', async () => {
    const { clock, driver, failures, notifier } = emitting()
    const asked: string[] = []
    const ask = (emission: Emission) => void emission.catch(({ code }) => asked.push(code))
    ask(notifier.info('a', {}))
    const second = notifier.info('b', {})
    await clock.settle()
    driver.fail(bad)
    await clock.microtasks()
    ask(second)
    ask(notifier.info('', {}))
    await clock.settle()
    expect({ asked, failures }).toEqual({ asked: ['INVALID', 'INVALID', 'INVALID'], failures: [] })
  })

  test('that was told is still there for who asks later, and is not told again', async () => {
    const { clock, failures, notifier } = emitting({ reply: bad })
    const emission = notifier.info('a', {})
    await clock.settle()
    expect(failures).toHaveLength(1)
    expect(await emission.catch((error: NotifyError) => error)).toBe(failures[0])
    await clock.settle()
    expect(failures).toHaveLength(1)
  })

  test('of a success nobody hears', async () => {
    const { clock, failures, notifier } = emitting({ reply: 'confirm' })
    notifier.info('a', {})
    await clock.settle()
    expect(failures).toEqual([])
    expect(notifier.stats()).toMatchObject({ emitted: 1, confirmed: 1, pending: 0 })
  })
})

test('an emit never throws, whatever it is given, and has one counted outcome', async () => {
  const fail = () => {
    throw new Error('theirs')
  }
  const hostile = new Proxy(
    {},
    { get: fail, has: fail, ownKeys: fail, getPrototypeOf: fail, getOwnPropertyDescriptor: fail },
  )
  const ODD: unknown[] = [
    undefined,
    null,
    '',
    'a',
    0,
    Number.NaN,
    true,
    1n,
    Symbol('s'),
    () => {},
    {},
    [],
    Object.create(null),
    hostile,
    new Proxy(() => {}, { apply: fail }),
  ]
  const OPTIONS: unknown[] = [
    ...ODD,
    ...['key', 'headers', 'topics', 'timeoutMs', 'signal', 'messageId'].flatMap((name) => [
      ...ODD.map((value) => ({ [name]: value })),
      {
        get [name]() {
          return fail()
        },
      },
    ]),
    { topics: [hostile] },
    { headers: { a: hostile } },
    { signal: { aborted: true, addEventListener() {} } },
    { signal: { aborted: false, addEventListener: fail } },
  ]
  const { clock, driver, failures, notifier } = emitting({ reply: 'confirm' })
  let emitted = 0
  let asked = 0
  const emit = (...given: unknown[]) => {
    const emission = (notifier.notify as (...given: unknown[]) => Emission)(...given)
    expect(typeof emission.message_id).toBe('string')
    // Every third is asked for, the others float.
    if (emitted++ % 3 === 0) emission.catch(() => asked++)
  }
  for (const priority of ODD) emit(priority, 'a', {})
  for (const event_type of ODD) for (const payload of ODD) emit('INFO', event_type, payload)
  for (const options of OPTIONS) emit('INFO', 'a', {}, options)
  await clock.settle()
  const { confirmed, failed, pending, ...sums } = notifier.stats()
  expect({ pending, ...sums }).toMatchObject({ emitted, pending: 0, shed: 0, filtered: 0 })
  expect(failed).toBe(failures.length + asked)
  expect(confirmed).toBe(emitted - failed)
  expect(confirmed).toBe(driver.handed.length)
  expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['INVALID', 'ABORTED']))
})

describe('options of an emit are refused with a reason, and nothing is sent:', () => {
  const signal = AbortSignal.abort()
  test.each<[reason: string, options: object, says?: string]>([
    ['key', { key: '' }],
    ['key', { key: 'a\nb' }],
    ['key', { key: 7 }],
    ['header-name', { headers: { 'a b': 'c' } }],
    ['header-name', JSON.parse('{"headers":{"__proto__":"x"}}')],
    ['header-value', { headers: { a: 'b\r\nc' } }],
    ['header-value', { headers: { a: 7 } }],
    ['header-reserved', { headers: { 'Notify-Key': 'a' } }],
    ['headers', { headers: 'a' }],
    ['topic', { topics: ['$JS.API.X'] }],
    ['topic', { topics: ['good', 7] }],
    ['option', { topics: [] }],
    ['option', { topics: 'notifications' }],
    ['option', { topics: ['a', 'a'] }],
    ['option', { timeoutMs: 0 }],
    ['option', { timeoutMs: -1 }],
    ['option', { timeoutMs: Number.NaN }],
    ['option', { timeoutMs: '3' }],
    ['option', { signal: {} }],
    ['option', { signal: null }],
    ['message-id', { messageId: '' }],
    ['message-id', { messageId: 'a b' }],
    ['message-id', { messageId: 7 }],
    ['option', { topic: 'a' }, 'Did you mean "topics"'],
    ['option', { prority: 'INFO' }, '"prority"'],
    ['option', JSON.parse('{"__proto__":{"key":"a"}}'), '"__proto__"'],
  ])('%s: %j', async (reason, options, says = '') => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    const error = await notifier.info('a', {}, options).catch((error: NotifyError) => error)
    expect(error).toMatchObject({
      code: 'INVALID',
      reason,
      receipt: { results: [] },
      message: expect.stringContaining(says),
    })
    await clock.settle()
    expect(driver.calls).toEqual([])
    expect(notifier.stats()).toMatchObject({ emitted: 1, failed: 1 })
  })

  test.each([
    ['info', 'Did you mean "INFO"'],
    ['WARNING', 'Did you mean "WARN"'],
    ['CRITCAL', 'Did you mean "CRITICAL"'],
    ['__proto__', ''],
    ['toString', ''],
    [undefined, ''],
  ])('priority %s', async (priority, says) => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    await expect(notifier.notify(priority as 'INFO', 'a', {})).rejects.toMatchObject({
      code: 'INVALID',
      reason: 'priority',
      message: expect.stringContaining(says),
    })
    expect(driver.calls).toEqual([])
  })

  test('ABORTED: a signal that fired before the call', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    await expect(notifier.info('a', {}, { signal })).rejects.toMatchObject({
      code: 'ABORTED',
      maybeSent: false,
    })
    expect(driver.calls).toEqual([])
  })
})

test('an id that the caller gives is kept, over retries and in a refusal', async () => {
  const { clock, driver, notifier } = emitting({ reply: DOWN })
  const emission = notifier.info('a', {}, { messageId: 'mine/1' })
  expect(emission.message_id).toBe('mine/1')
  await clock.advance(5_000)
  expect(new Set(driver.handed.map(({ message }) => message.id))).toEqual(new Set(['mine/1']))
  expect(notifier.info('', {}, { messageId: 'mine/2' }).message_id).toBe('mine/2')
})

test('off costs nothing: a driver that discards gets nothing, and nobody looks at what is emitted', async () => {
  let looked = 0
  const touchy: object = new Proxy(
    {},
    { get: () => looked++, has: () => looked++ > 0, ownKeys: () => [String(looked++)] },
  )
  const driver = scripted({ capabilities: { discards: true } })
  const { clock, failures, notifier } = emitting({ notifier: { driver, strict: true } })
  const emissions = [
    notifier.info('', touchy),
    notifier.notify('nonsense' as 'INFO', 7 as never, touchy, touchy),
  ]
  expect(await Promise.all(emissions)).toMatchObject([{ results: [] }, { results: [] }])
  expect(emissions[0]?.message_id).toMatch(UUID)
  expect(emissions[0]?.message_id).toBe((await emissions[0])?.message_id)
  await clock.settle()
  expect({ looked, failures, calls: driver.calls }).toEqual({ looked: 0, failures: [], calls: [] })
  expect(notifier.isEnabled()).toBe(false)
  expect(notifier.stats()).toEqual({
    emitted: 2,
    confirmed: 0,
    failed: 0,
    shed: 0,
    filtered: 2,
    pending: 0,
    drivers: [],
  })
  await notifier.close()
  expect(driver.closes).toBe(1)
  await expect(notifier.info('a', {})).rejects.toMatchObject({ code: 'CLOSED' })
})
