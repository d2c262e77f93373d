import { describe, expect, test } from 'vitest'
import { createNotifier, isNotifyError, type NotifierOptions, type NotifyError } from '../src/index.ts'
import { nearest } from '../src/options.ts'
import { FakeClock } from './support/clock.ts'
import { emitting } from './support/emitting.ts'
import { scripted } from './support/publisher.ts'

const thrownBy = (work: () => unknown): NotifyError => {
  try {
    work()
  } catch (error) {
    if (isNotifyError(error)) return error
    throw error
  }
  throw new Error('nothing was thrown')
}
const create = (options: object) =>
  createNotifier({
    publisherId: 'test',
    driver: scripted(),
    clock: new FakeClock(),
    ...options,
  } as NotifierOptions)

describe('createNotifier refuses, where it was written,', () => {
  const driver = scripted()
  const OPTION: [what: string, options: object, says?: string][] = [
    ['a misspelt option', { retires: 3 }, 'Did you mean "retry"'],
    ['a misspelt option in another case', { Timeoutms: 3 }, 'Did you mean "timeoutMs"'],
    ['an unknown option', { linger: 3 }, '"linger"'],
    ['__proto__ from JSON', JSON.parse('{"__proto__":{"retry":0}}'), '"__proto__"'],
    ['no driver', { driver: undefined }],
    ['a driver and drivers', { drivers: [{ driver }] }],
    ['no entry', { driver: undefined, drivers: [] }],
    ['null for drivers', { driver: undefined, drivers: null }],
    ['an entry that is none', { driver: undefined, drivers: [null] }],
    [
      'a misspelt entry',
      { driver: undefined, drivers: [{ driver, requierd: false }] },
      'Did you mean "required"',
    ],
    ['an entry without driver', { driver: undefined, drivers: [{}] }],
    ['what is no driver', { driver: {} }],
    ['a driver of another contract', { driver: { ...scripted(), contract: 2 } }, 'contract 2'],
    ['a driver without capabilities', { driver: { ...scripted(), capabilities: undefined } }],
    [
      'an unknown key of a rule',
      { driver: undefined, drivers: [{ driver, when: { priority: ['INFO'] } }] },
      'Did you mean "priorities"',
    ],
    ['a rule that is none', { driver: undefined, drivers: [{ driver, when: 'INFO' }] }],
    ['a glob that is none', { driver: undefined, drivers: [{ driver, when: { event_type: 7 } }] }],
    [
      'a glob that is none, in an array',
      { driver: undefined, drivers: [{ driver, when: { event_type: ['a', null] } }] },
    ],
    [
      'an unknown priority',
      { driver: undefined, drivers: [{ driver, when: { priorities: ['WARNING', 'eror'] } }] },
    ],
    [
      'a misspelt priority',
      { driver: undefined, drivers: [{ driver, when: { priorities: ['eror'] } }] },
      'Did you mean "ERROR"',
    ],
    [
      'priorities that are no array',
      { driver: undefined, drivers: [{ driver, when: { priorities: 'INFO' } }] },
    ],
    ...[-2, Number.NaN, '3', 1.5, null].map((retry): [string, object] => [
      `retry ${String(retry)}`,
      { retry },
    ]),
    ...['timeoutMs', 'attemptTimeoutMs'].flatMap((name) =>
      [0, -1, Number.NaN, '3', null].map((value): [string, object] => [
        `${name} ${String(value)}`,
        { [name]: value },
      ]),
    ),
    ...['messages', 'bytes'].flatMap((name) =>
      [0, -1, Number.NaN, '3', 1.5].map((value): [string, object] => [
        `buffer.${name} ${String(value)}`,
        { buffer: { [name]: value } },
      ]),
    ),
    ['a misspelt buffer', { buffer: { message: 1 } }, 'Did you mean "messages"'],
    ['a buffer that is none', { buffer: 7 }],
    ...[0, -1, Number.NaN, '3'].map((minMs): [string, object] => [
      `backoff.minMs ${String(minMs)}`,
      { backoff: { minMs } },
    ]),
    ['a backoff that ends below its begin', { backoff: { minMs: 10, maxMs: 5 } }],
    ['a misspelt backoff', { backoff: { min: 1 } }, 'Did you mean "minMs"'],
    ['no topics', { topics: [] }],
    ['topics that are no array', { topics: 'notifications' }],
    ['a codec that is none', { codec: {} }],
    ['a codec of an entry that is none', { driver: undefined, drivers: [{ driver, codec: 'json' }] }],
    ['a hook that is none', { onFailure: 'log' }],
    ['another hook that is none', { onStatus: {} }],
  ]
  test.each(OPTION)('%s', (_, options, says = '') => {
    const error = thrownBy(() => create(options))
    expect(error).toMatchObject({
      name: 'NotifyError',
      code: 'INVALID',
      reason: 'option',
      retryable: false,
      maybeSent: false,
    })
    expect(error.message).toContain(says)
  })

  test.each<[reason: string, options: { [name: string]: unknown }]>([
    ['publisher-id', { publisherId: '' }],
    ['publisher-id', { publisherId: undefined }],
    ['publisher-id', { publisherId: 'a\nb' }],
    ['publisher-id', { publisherId: 'x'.repeat(256) }],
    ['publisher-id', { publisherId: 7 }],
    ['topic', { topics: ['notifications', '$JS.API'] }],
    ['topic', { topics: [7] }],
    ['header-name', { headers: { 'a b': 'c' } }],
    ['header-value', { headers: { a: 1 } }],
    ['header-reserved', { headers: { 'notify-key': 'a' } }],
    ['headers', { headers: 'a' }],
  ])('%s: %j', (reason, options) => {
    expect(thrownBy(() => create(options))).toMatchObject({ code: 'INVALID', reason })
    // A child that names no publisher keeps its notifier's.
    if ('publisherId' in options && options.publisherId === undefined) return
    expect(thrownBy(() => create({}).child(options))).toMatchObject({ code: 'INVALID', reason })
  })

  test.each([undefined, null, 'x', 7])('%j for all options', (options) => {
    expect(thrownBy(() => createNotifier(options as unknown as NotifierOptions))).toMatchObject({
      code: 'INVALID',
      reason: 'option',
    })
  })

  test('and holds no driver then', async () => {
    const { driver, notifier } = emitting()
    const rules = [{ driver }, { driver, when: { priorities: ['NONE'] } }]
    expect(thrownBy(() => create({ driver: undefined, drivers: rules }))).toMatchObject({ code: 'INVALID' })
    expect(thrownBy(() => create({ driver, codec: {} }))).toMatchObject({ code: 'INVALID' })
    await notifier.close()
    expect(driver.closes).toBe(1)
  })
})

test.each(['driver', 'retry', 'buffer', 'onFailure', 'codec'])(
  'a child has no option %s of its own, and says so',
  (name) => {
    expect(thrownBy(() => create({}).child({ [name]: undefined } as object))).toMatchObject({
      code: 'INVALID',
      reason: 'option',
    })
  },
)

test.each([
  [{ retry: Number.POSITIVE_INFINITY }],
  [{ retry: 0 }],
  [{ timeoutMs: Number.POSITIVE_INFINITY }],
  [{ attemptTimeoutMs: 2 ** 40 }],
  [{ buffer: { messages: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY } }],
  [{ backoff: { minMs: 60_000 } }],
  [
    {
      onFailure: undefined,
      onStatus: undefined,
      codec: undefined,
      topics: undefined,
      headers: undefined,
      strict: undefined,
    },
  ],
])('%j is legal', async (options) => {
  const driver = scripted({ reply: 'confirm' })
  const notifier = create({ driver, ...options })
  await expect(notifier.info('a', {})).resolves.toMatchObject({ results: [{ status: 'confirmed' }] })
})

test('a timeout longer than a timer can hold does not end at once', async () => {
  const { clock, notifier } = emitting({
    notifier: { timeoutMs: 2 ** 31 + 1_000, attemptTimeoutMs: 2 ** 33 },
  })
  let error: NotifyError | undefined
  notifier.info('a', {}).catch((failed) => {
    error = failed
  })
  await clock.advance(2 ** 31)
  expect(error).toBeUndefined()
  await clock.advance(1_000)
  expect(error).toMatchObject({ code: 'DEADLINE' })
})

test('a suggestion is the option that differs by two edits at the most, three in a long word', () => {
  const known = ['retry', 'timeoutMs', 'topics']
  const suggested = ['retires', 'RETRY', 'topic', 'timeout', 'rety', 'rex', 'xyz', ''].map((word) =>
    nearest(word, known),
  )
  expect(suggested).toEqual([
    'retry',
    'retry',
    'topics',
    'timeoutMs',
    'retry',
    undefined,
    undefined,
    undefined,
  ])
  expect(nearest('toxixx', known)).toBe('topics')
  expect(nearest('xoxixx', known)).toBeUndefined()
})
