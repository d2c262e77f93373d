import { describe, expect, test } from 'vitest'
import { byteLength, parseJson, toBytes } from '../src/codec.ts'
import { type Envelope, jsonCodec } from '../src/index.ts'
import { destinationsOf } from '../src/notifier/route.ts'

const source = destinationsOf('notifications')[4]
if (source === undefined) throw new Error('there are seven')

const envelope: Envelope = {
  message_id: 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
  publisher_id: 'compute.host1',
  timestamp: '2026-11-22T09:30:00.123Z',
  priority: 'WARN',
  event_type: 'compute.create_instance',
  payload: { instance_id: 12 },
}

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const decode = (body: string | Uint8Array) => {
  try {
    return jsonCodec().decode(
      { body: typeof body === 'string' ? new TextEncoder().encode(body) : body, headers: {} },
      source,
    )
  } catch (failure) {
    return failure
  }
}

describe('on the wire', () => {
  test('an envelope is six fields of one JSON object, in the order of oslo.messaging', () => {
    expect(text(jsonCodec().encode(envelope))).toBe(
      '{"message_id":"f81d4fae-7dec-11d0-a765-00a0c91e6bf6","publisher_id":"compute.host1","event_type":"compute.create_instance","priority":"WARN","payload":{"instance_id":12},"timestamp":"2026-11-22T09:30:00.123Z"}',
    )
  })

  test.each([
    ['quotes and backslashes', 'a"b\\c'],
    ['lone surrogates', 'a\ud800b'],
    ['line separators', '\u2028\u2029'],
    ['emoji', '🎉'],
    ['what ends a script', '</script>'],
  ])('%s in any field arrive as they were', (_, value) => {
    const odd = {
      ...envelope,
      event_type: value,
      publisher_id: value,
      message_id: value,
      payload: { [value]: value },
    }
    expect(decode(jsonCodec().encode(odd))).toEqual({ envelope: odd })
  })

  test('one codec serves changing publishers and event types', () => {
    const codec = jsonCodec()
    for (const name of ['a', 'b', 'b', 'a']) {
      expect(
        JSON.parse(text(codec.encode({ ...envelope, publisher_id: name, event_type: `${name}!` }))),
      ).toMatchObject({
        publisher_id: name,
        event_type: `${name}!`,
      })
    }
  })

  test('arrays are carried; what is encoded as neither object nor array is refused', () => {
    expect(text(jsonCodec().encode({ ...envelope, payload: [1] }))).toContain('"payload":[1]')
    for (const payload of [
      new Date(),
      Object('text'),
      Object(1),
      { toJSON: () => undefined },
      { toJSON: () => 'text' },
      () => {},
    ]) {
      expect(() => jsonCodec().encode({ ...envelope, payload })).toThrow(
        expect.objectContaining({ code: 'INVALID', reason: 'payload-type' }),
      )
    }
  })
})

describe('off the wire', () => {
  test.each([
    ['nothing', ''],
    ['blanks', ' \n\t'],
    ['a truncated document', '{"event_type":"x"'],
    ['trailing text', '{"event_type":"x"} x'],
    ['two documents', '{"event_type":"x"}{"event_type":"y"}'],
    ['NaN', '{"event_type":"x","payload":NaN}'],
  ])('%s is CORRUPT json, and the body is not quoted', (_, body) => {
    expect(decode(body)).toEqual({
      code: 'CORRUPT',
      reason: 'json',
      message: 'The body is not one JSON document.',
      retryable: false,
      maybeSent: false,
      scope: 'message',
    })
  })

  test.each([[[0xff]], [[0x22, 0xc3, 0x22]], [[0xed, 0xa0, 0x80]]])('bytes %j are CORRUPT utf-8', (bytes) => {
    expect(decode(Uint8Array.from(bytes))).toMatchObject({ code: 'CORRUPT', reason: 'utf-8' })
  })

  test.each(['{}', '[]', '"x"', 'null', '7', '{"event_type":7}'])('%s is CORRUPT envelope', (body) => {
    expect(decode(body)).toMatchObject({ code: 'CORRUPT', reason: 'envelope' })
  })

  test('a byte order mark is skipped, and of a key that comes twice the last counts', () => {
    expect(decode('\ufeff{"event_type":"x","event_type":"y"}')).toMatchObject({
      envelope: { event_type: 'y' },
    })
  })

  test('a missing priority is that of the destination', () => {
    expect(decode('{"event_type":"x"}')).toMatchObject({ envelope: { priority: 'WARN' } })
  })

  test('numbers are as JSON.parse has them', () => {
    expect(decode('{"event_type":"x","payload":{"a":1e400,"b":9007199254740993}}')).toMatchObject({
      envelope: { payload: { a: Number.POSITIVE_INFINITY, b: 9007199254740992 } },
    })
  })

  test('__proto__ in a payload is a key, and no prototype', () => {
    const decoded = decode('{"event_type":"x","payload":{"__proto__":{"admin":true}}}') as {
      envelope: Envelope<{ admin?: boolean }>
    }
    expect(decoded.envelope.payload.admin).toBeUndefined()
    expect(Object.keys(decoded.envelope.payload)).toEqual(['__proto__'])
  })

  test('a million levels are read', () => {
    const depth = 1_000_000
    expect(decode(`{"event_type":"deep","payload":${'['.repeat(depth)}${']'.repeat(depth)}}`)).toMatchObject({
      envelope: { event_type: 'deep' },
    })
  })
})

test('bytes are counted and made alike with and without a Buffer', () => {
  const { Buffer } = globalThis
  const samples = ['', 'plain', 'é✓🎉', '\ud800']
  const withBuffer = samples.map((sample) => [[...toBytes(sample)], byteLength(sample)])
  try {
    Reflect.deleteProperty(globalThis, 'Buffer')
    expect(samples.map((sample) => [[...toBytes(sample)], byteLength(sample)])).toEqual(withBuffer)
  } finally {
    globalThis.Buffer = Buffer
  }
  expect(withBuffer.map(([, length]) => length)).toEqual([0, 5, 9, 3])
  expect(parseJson(toBytes('[1]'))).toEqual([1])
})
