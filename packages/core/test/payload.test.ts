import { describe, expect, test } from 'vitest'
import { createNotifier, jsonCodec, type NotifyError, type Receipt } from '../src/index.ts'
import { emitting } from './support/emitting.ts'
import { envelopeOf, scripted } from './support/publisher.ts'

type End = NotifyError | Receipt
type Options = Parameters<typeof emitting>[0]

/** What becomes of a payload, and what is on the wire. */
async function emit(
  payload: unknown,
  options: Options = {},
): Promise<{ end: End; wire: string | undefined }> {
  const { driver, notifier } = emitting({ reply: 'confirm', ...options })
  const end = await notifier.info('test', payload as object).catch((error: NotifyError) => error)
  const { emitted, failed } = notifier.stats()
  expect({ emitted, failed }).toEqual({ emitted: 1, failed: 'code' in end ? 1 : 0 })
  const message = driver.handed[0]?.message
  return { end, wire: message && JSON.stringify(envelopeOf(message).payload) }
}
const strictly = (payload: unknown) => emit(payload, { notifier: { strict: true } })

const levels = (depth: number) => {
  let value: object = {}
  for (let level = 0; level < depth; level++) value = { value }
  return value
}
/** Each level refers to the one below it twice. */
const dag = (depth: number) => {
  let value: object = { leaf: 'x'.repeat(10) }
  for (let level = 0; level < depth; level++) value = { a: value, b: value }
  return value
}
const cycle = () => {
  const one: Record<string, unknown> = { name: 'one' }
  one.list = [1, { back: one }]
  return one
}
const thrown = new Error('theirs')
const fail = () => {
  throw thrown
}
const symbol = Symbol('s')
class Private {
  #secret = 1
  shown = 2
  read() {
    return this.#secret
  }
}

describe('a payload is what JSON.stringify makes of an object', () => {
  const CARRIED: [
    row: string,
    payload: () => unknown,
    wire: string,
    strict: string | { reason: string; path: string },
  ][] = [
    ['an array', () => [1, 'a'], '[1,"a"]', '='],
    ['NaN', () => ({ a: Number.NaN }), '{"a":null}', { reason: 'payload-lossy', path: '$.a' }],
    [
      'Infinity',
      () => ({ a: [1, Number.NEGATIVE_INFINITY] }),
      '{"a":[1,null]}',
      { reason: 'payload-lossy', path: '$.a[1]' },
    ],
    ['-0', () => ({ a: -0 }), '{"a":0}', '='],
    ['an integer above 2^53', () => ({ a: 2 ** 53 + 2 }), '{"a":9007199254740994}', '='],
    ['undefined in an object', () => ({ a: undefined, b: 1 }), '{"b":1}', '='],
    [
      'a function in an object',
      () => ({ a: fail, b: 1 }),
      '{"b":1}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'a symbol in an object',
      () => ({ a: symbol, b: 1 }),
      '{"b":1}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'undefined in an array',
      () => ({ a: [undefined] }),
      '{"a":[null]}',
      { reason: 'payload-lossy', path: '$.a[0]' },
    ],
    [
      'a function in an array',
      () => ({ a: [0, fail] }),
      '{"a":[0,null]}',
      { reason: 'payload-lossy', path: '$.a[1]' },
    ],
    ['a hole', () => ({ a: new Array(1) }), '{"a":[null]}', { reason: 'payload-lossy', path: '$.a[0]' }],
    ['a Date', () => ({ a: new Date(0) }), '{"a":"1970-01-01T00:00:00.000Z"}', '='],
    ['a URL', () => ({ a: new URL('http://x/y') }), '{"a":"http://x/y"}', '='],
    [
      'a toJSON, given its key',
      () => ({ 'b c': { toJSON: (key: string) => [key] } }),
      '{"b c":["b c"]}',
      '=',
    ],
    [
      'an invalid Date',
      () => ({ a: new Date(Number.NaN) }),
      '{"a":null}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'a toJSON that says NaN',
      () => ({ a: { toJSON: () => Number.NaN } }),
      '{"a":null}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'a toJSON that says a Map',
      () => ({ a: { toJSON: () => new Map() } }),
      '{"a":{}}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    ['a Map', () => ({ a: new Map([[1, 2]]) }), '{"a":{}}', { reason: 'payload-lossy', path: '$.a' }],
    ['a Map alone', () => new Map([[1, 2]]), '{}', { reason: 'payload-lossy', path: '$' }],
    ['a Set', () => ({ a: [new Set([1])] }), '{"a":[{}]}', { reason: 'payload-lossy', path: '$.a[0]' }],
    ['a WeakMap', () => ({ a: new WeakMap() }), '{"a":{}}', { reason: 'payload-lossy', path: '$.a' }],
    ['a WeakRef', () => ({ a: new WeakRef({}) }), '{"a":{}}', { reason: 'payload-lossy', path: '$.a' }],
    ['a Promise', () => ({ a: Promise.resolve(1) }), '{"a":{}}', { reason: 'payload-lossy', path: '$.a' }],
    [
      'a Buffer',
      () => ({ a: Buffer.from([1]) }),
      '{"a":{"type":"Buffer","data":[1]}}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'a typed array',
      () => ({ a: Uint8Array.of(1) }),
      '{"a":{"0":1}}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'an ArrayBuffer',
      () => ({ a: new ArrayBuffer(2) }),
      '{"a":{}}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'a DataView',
      () => ({ a: new DataView(new ArrayBuffer(2)) }),
      '{"a":{}}',
      { reason: 'payload-lossy', path: '$.a' },
    ],
    [
      'an Error',
      () => ({ 'an error': new TypeError('x') }),
      '{"an error":{}}',
      { reason: 'payload-lossy', path: '$["an error"]' },
    ],
    ['a RegExp', () => ({ a: /x/ }), '{"a":{}}', { reason: 'payload-lossy', path: '$.a' }],
    [
      'boxed values',
      () => ({ a: Object('t'), b: Object(1), c: Object(false) }),
      '{"a":"t","b":1,"c":false}',
      '=',
    ],
    ['a symbol for a key', () => ({ [symbol]: 1, a: 2 }), '{"a":2}', '='],
    ['private fields', () => new Private(), '{"shown":2}', '='],
    ['keys that look like integers', () => ({ b: 1, 2: 1, 1: 1 }), '{"1":1,"2":1,"b":1}', '='],
    ['no prototype', () => Object.assign(Object.create(null), { a: 1 }), '{"a":1}', '='],
    ['what is only inherited', () => Object.assign(Object.create({ b: 1 }), { a: 1 }), '{"a":1}', '='],
    ['the same object twice', () => [levels(1), levels(1)].fill({ a: 1 } as never), '[{"a":1},{"a":1}]', '='],
    [
      'keys that look secret',
      () => ({ password: 'x', auth_token: 'y' }),
      '{"password":"x","auth_token":"y"}',
      '=',
    ],
    [
      'lone surrogates and controls',
      () => ({ a: '\ud800\0\x7f\ufffe\u2028' }),
      '{"a":"\\ud800\\u0000\x7f\ufffe\u2028"}',
      '=',
    ],
    ['an empty object', () => ({}), '{}', '='],
  ]
  test.each(CARRIED)('%s', async (_, payload, wire, strict) => {
    expect(await emit(payload())).toMatchObject({ end: { results: [{ status: 'confirmed' }] }, wire })
    const checked = await strictly(payload())
    if (strict === '=') expect(checked).toMatchObject({ end: { results: [{ status: 'confirmed' }] }, wire })
    else
      expect(checked).toEqual({
        end: expect.objectContaining({ code: 'INVALID', ...(strict as object) }),
        wire: undefined,
      })
  })

  test('__proto__, constructor and prototype are keys like any other, and Object.prototype stays as it was', async () => {
    const json = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"prototype":1}'
    for (const run of [emit, strictly]) {
      const { wire } = await run(JSON.parse(json))
      expect(wire).toBe(json)
    }
    expect('admin' in {}).toBe(false)
  })

  test('it is encoded once, when the call is made, whatever happens to it afterwards', async () => {
    let reads = 0
    const payload = {
      nested: { value: 'old' },
      get counted() {
        return ++reads
      },
    }
    const codec = jsonCodec()
    const drivers = [scripted(), scripted()]
    const { clock, notifier } = emitting({
      notifier: { drivers: drivers.map((driver) => ({ driver, codec })), topics: ['one', 'two'] },
    })
    notifier.info('test', payload)
    payload.nested.value = 'new'
    await clock.settle()
    expect(reads).toBe(1)
    const sent = drivers.flatMap(({ handed }) => handed.map(({ message }) => envelopeOf(message).payload))
    expect(sent).toEqual(Array.from({ length: 4 }, () => ({ nested: { value: 'old' }, counted: 1 })))
  })
})

describe('what cannot be encoded is refused, with a reason and, where there is one, a path', () => {
  const proxy = new Proxy({}, { ownKeys: fail, get: fail, getPrototypeOf: fail })
  const tagged = {
    get [Symbol.toStringTag]() {
      return fail()
    },
  }
  const REFUSED: [row: string, payload: () => unknown, expected: Partial<NotifyError>][] = [
    ...[undefined, null, 'text', 7, Number.NaN, true, 1n, symbol, fail].map(
      (payload): [string, () => unknown, object] => [
        String(payload).slice(0, 10),
        () => payload,
        { reason: 'payload-type' },
      ],
    ),
    ['a Date alone', () => new Date(), { reason: 'payload-type' }],
    ['a boxed string', () => Object('text'), { reason: 'payload-type' }],
    ['a BigInt', () => ({ a: [{ b: 1n }] }), { reason: 'payload-bigint', path: '$.a[0].b' }],
    [
      'a BigInt of a toJSON',
      () => ({ 'a-b': { toJSON: () => 1n } }),
      { reason: 'payload-bigint', path: '$["a-b"]' },
    ],
    ['a cycle', cycle, { reason: 'payload-cycle', path: '$.list[1].back' }],
    [
      'a cycle at once',
      () => Object.assign([] as unknown[], { 0: 1 }).concat([cycle()]),
      { reason: 'payload-cycle', path: '$[1].list[1].back' },
    ],
    ['100,000 levels', () => levels(100_000), { reason: 'payload-too-deep' }],
    [
      'a getter that throws',
      () => ({
        a: {
          get b() {
            return fail()
          },
        },
      }),
      { reason: 'payload-encode', path: '$.a.b', cause: thrown },
    ],
    [
      'a toJSON that throws',
      () => ({ a: [{ toJSON: fail }] }),
      { reason: 'payload-encode', path: '$.a[0]', cause: thrown },
    ],
    ['a Proxy that throws', () => proxy, { reason: 'payload-encode', path: '$', cause: thrown }],
    [
      'a Proxy that throws, inside',
      () => ({ a: proxy }),
      { reason: 'payload-encode', path: '$.a', cause: thrown },
    ],
  ]
  test.each(REFUSED)('%s', async (_, payload, expected) => {
    for (const run of [emit, strictly]) {
      const { end, wire } = await run(payload())
      expect(wire?.length).toBeUndefined()
      expect(end).toMatchObject({ code: 'INVALID', retryable: false, maybeSent: false, ...expected })
      if (expected.path !== undefined) expect((end as NotifyError).message).toContain(expected.path)
    }
  })

  test('5,000 levels, where the stack is too small for them, and else they are carried', async () => {
    for (const run of [emit, strictly]) {
      const { end, wire } = await run(levels(5_000))
      if (wire === undefined) expect(end).toMatchObject({ code: 'INVALID', reason: 'payload-too-deep' })
      else expect(wire).toHaveLength(5_000 * '{"value":}'.length + 2)
    }
  })

  test('a tag that throws is read by strict alone', async () => {
    expect(await emit({ tagged })).toMatchObject({ wire: '{"tagged":{}}' })
    expect((await strictly({ tagged })).end).toMatchObject({
      reason: 'payload-encode',
      path: '$.tagged',
      cause: thrown,
    })
  })

  test('a RangeError of their own is not taken for ours', async () => {
    const theirs = new RangeError('42 is out of range')
    const toJSON = () => {
      throw theirs
    }
    expect((await emit({ a: { toJSON } })).end).toMatchObject({
      reason: 'payload-encode',
      path: '$.a',
      cause: theirs,
    })
  })

  test('whatever is thrown, and if it is thrown once only', async () => {
    for (const odd of [
      undefined,
      null,
      'text',
      new Proxy({}, { get: fail, has: fail, getPrototypeOf: fail }),
    ]) {
      let times = 0
      const payload = {
        get a() {
          if (times++ === 0) throw odd
          return 1
        },
      }
      const { end } = await emit(payload)
      expect(end).toMatchObject({ code: 'INVALID', reason: 'payload-encode' })
      expect((end as NotifyError).cause === odd).toBe(true)
    }
  })

  test('a codec may say better than core what is wrong', async () => {
    const refusing = (thrown: unknown) => ({
      ...jsonCodec(),
      encode: () => {
        throw thrown
      },
    })
    const given = {
      code: 'UNSUPPORTED',
      reason: 'no-arrays',
      retryable: false,
      maybeSent: false,
      scope: 'message',
    }
    expect((await emit([], { notifier: { codec: refusing(given) } })).end).toMatchObject({
      code: 'UNSUPPORTED',
      reason: 'no-arrays',
    })
    expect((await emit([], { notifier: { codec: refusing(thrown) } })).end).toMatchObject({
      reason: 'payload-encode',
      cause: thrown,
    })
  })
})

describe('what is too large', () => {
  const limited = (maxMessageBytes: number) => ({ capabilities: { maxMessageBytes } })

  test('is counted in bytes of body, key and headers', async () => {
    const options = { key: 'schlüssel', headers: { 'x-a': 'é', 'x-b': '' } }
    const { driver, notifier } = emitting({ reply: 'confirm' })
    await notifier.info('test', { text: '✓🎉' }, options)
    const size = (driver.handed[0]?.message.body.length ?? 0) + 10 + 3 + 2 + 3
    const attempt = async (limit: number) => {
      const { notifier } = emitting({ reply: 'confirm', ...limited(limit) })
      return notifier.info('test', { text: '✓🎉' }, options).catch((error: NotifyError) => error)
    }
    expect(await attempt(size)).toMatchObject({ results: [{ status: 'confirmed' }] })
    expect(await attempt(size - 1)).toMatchObject({ code: 'TOO_LARGE', retryable: false, maybeSent: false })
  })

  test('fails at the driver with the limit only', async () => {
    const drivers = [
      scripted({ name: 'small', reply: 'confirm', ...limited(200) }),
      scripted({ name: 'large', reply: 'confirm' }),
    ]
    const { notifier } = emitting({ notifier: { drivers: drivers.map((driver) => ({ driver })) } })
    const error = await notifier.info('test', { text: 'x'.repeat(300) }).catch((error: NotifyError) => error)
    expect(error).toMatchObject({
      code: 'TOO_LARGE',
      receipt: {
        results: [
          { driver: 'small', status: 'failed', attempts: 0, failure: { code: 'TOO_LARGE' } },
          { driver: 'large', status: 'confirmed', attempts: 1 },
        ],
      },
    })
    expect(drivers.map(({ calls }) => calls.length)).toEqual([0, 1])
  })

  test.each([
    ['50 MB', { text: 'x'.repeat(50_000_000) }],
    ['a graph of shared references', dag(16)],
    ['a sparse array', { a: new Array(1_000_000) }],
  ])('%s, above the limit of the driver', async (_, payload) => {
    expect(await emit(payload)).toMatchObject({ end: { code: 'TOO_LARGE' }, wire: undefined })
  })

  test('50 MB, above buffer.bytes', async () => {
    expect((await emit({ text: 'x'.repeat(50_000_000) }, limited(2 ** 30))).end).toMatchObject({
      code: 'TOO_LARGE',
      reason: 'buffer',
    })
  })

  test('longer than the longest string', async () => {
    // What JSON.stringify throws then, without the half of a gigabyte that it needs to get there.
    const payload = {
      get text() {
        return 'x'.repeat(2 ** 29)
      },
    }
    expect((await emit(payload)).end).toMatchObject({ code: 'TOO_LARGE', reason: 'payload-length' })
  })

  test.each([
    ['a graph of shared references', dag(60)],
    ['a sparse array', { a: new Array(20_000_000) }],
    ['the longest sparse array', { a: new Array(2 ** 32 - 1) }],
    ['more than a million values', { a: new Array(600_000).fill(1), b: new Array(600_000).fill(1) }],
  ])('strict counts before it is encoded: %s', async (_, payload) => {
    expect((await strictly(payload)).end).toMatchObject({ code: 'TOO_LARGE', reason: 'payload-nodes' })
  })
})

test('strict is a property of who emits: a child can differ', async () => {
  const { notifier } = emitting({ reply: 'confirm' })
  const lossy = { a: Number.NaN }
  await expect(notifier.child({ strict: true }).info('test', lossy)).rejects.toMatchObject({
    reason: 'payload-lossy',
  })
  await expect(notifier.info('test', lossy)).resolves.toBeDefined()
  const strict = createNotifier({ publisherId: 'test', driver: scripted({ reply: 'confirm' }), strict: true })
  await expect(strict.child({ publisherId: 'other' }).info('test', lossy)).rejects.toMatchObject({
    reason: 'payload-lossy',
  })
  await expect(strict.child({ strict: false }).info('test', lossy)).resolves.toBeDefined()
  await strict.close()
})
