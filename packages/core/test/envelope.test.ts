import { describe, expect, test } from 'vitest'
import {
  checkHeader,
  checkHeaders,
  checkKey,
  checkMessageId,
  checkName,
  checkTopic,
  isPriority,
  readEnvelope,
} from '../src/envelope.ts'
import { PRIORITIES } from '../src/index.ts'

const read = (value: unknown) => {
  try {
    return readEnvelope(value, 'AUDIT')
  } catch (failure) {
    return failure
  }
}

describe('reading is tolerant', () => {
  test('only event_type is required', () => {
    expect(read({ event_type: 'x' })).toEqual({
      message_id: '',
      publisher_id: '',
      timestamp: '',
      priority: 'AUDIT',
      event_type: 'x',
      payload: {},
    })
  })

  test.each([
    [undefined, 'AUDIT'],
    [null, 'AUDIT'],
    ['', 'AUDIT'],
    ['error', 'ERROR'],
    ['Critical', 'CRITICAL'],
    ['WARNING', 'WARN'],
    ['warning', 'WARN'],
  ])('priority %j is read as %s', (priority, expected) => {
    expect(read({ event_type: 'x', priority })).toMatchObject({ priority: expected })
  })

  test.each([
    ['2026-11-22 09:30:00.123456', '2026-11-22T09:30:00.123456Z'],
    ['2026-11-22T09:30:00', '2026-11-22T09:30:00Z'],
    ['2026-11-22 09:30:00+02:00', '2026-11-22T09:30:00+02:00'],
    ['2026-11-22T09:30:00.123Z', '2026-11-22T09:30:00.123Z'],
    ['yesterday', 'yesterday'],
  ])('timestamp %s is read as %s', (timestamp, expected) => {
    expect(read({ event_type: 'x', timestamp })).toMatchObject({ timestamp: expected })
  })

  test.each([[[1, 2]], ['text'], [7], [false]])('any JSON value is a payload: %j', (payload) => {
    expect(read({ event_type: 'x', payload })).toMatchObject({ payload })
  })

  test('unknown fields are kept, __proto__ as data', () => {
    const envelope = read(
      JSON.parse('{"event_type":"x","extra":1,"__proto__":{"polluted":true},"constructor":2}'),
    )
    expect(envelope).toMatchObject({ extra: 1, constructor: 2 })
    expect(Object.getOwnPropertyDescriptor(envelope, '__proto__')?.value).toEqual({ polluted: true })
    expect(envelope).not.toHaveProperty('polluted')
    expect(Object.getPrototypeOf(envelope)).toBe(Object.prototype)
  })

  test('fields that are only inherited do not count', () => {
    expect(read(Object.create({ event_type: 'x' }))).toMatchObject({ code: 'CORRUPT', reason: 'envelope' })
  })

  test.each([
    [{}, 'envelope'],
    [[], 'envelope'],
    ['x', 'envelope'],
    [null, 'envelope'],
    [{ event_type: '' }, 'envelope'],
    [{ event_type: 7 }, 'envelope'],
    [{ event_type: 'x', message_id: {} }, 'envelope'],
    [{ event_type: 'x', publisher_id: [] }, 'envelope'],
    [{ event_type: 'x', timestamp: 1 }, 'envelope'],
    [{ event_type: 'x', priority: 'urgent' }, 'priority'],
    [{ event_type: 'x', priority: 3 }, 'priority'],
    [{ event_type: 'x', priority: 'toString' }, 'priority'],
  ])('%j is CORRUPT, %s', (value, reason) => {
    expect(read(value)).toMatchObject({
      code: 'CORRUPT',
      reason,
      retryable: false,
      maybeSent: false,
      scope: 'message',
    })
  })
})

test('the seven priorities are a closed, frozen set', () => {
  expect(PRIORITIES).toEqual(['DEBUG', 'SAMPLE', 'INFO', 'AUDIT', 'WARN', 'ERROR', 'CRITICAL'])
  expect(Object.isFrozen(PRIORITIES)).toBe(true)
  expect(PRIORITIES.every(isPriority)).toBe(true)
  expect(['info', 'WARNING', '__proto__', 'toString', 3, null].some(isPriority)).toBe(false)
})

describe('writing is strict', () => {
  const CONTROLS = ['\0', '\n', '\r', '\t', '\x1f', '\x7f', '\x85']

  test.each([
    'compute.create_instance',
    'Instance Creation',
    'nova-compute:host1',
    'é✓🎉',
    '*',
    '>',
    '#',
    'a.*.>',
    ' ',
    'x'.repeat(255),
  ])('name %j is legal', (name) => {
    expect(checkName('event_type', name)).toBeUndefined()
    expect(checkName('publisher_id', name)).toBeUndefined()
  })

  test.each([
    '',
    'x'.repeat(256),
    'a\r\nPUB evil 0\r\n',
    ...CONTROLS.map((control) => `a${control}b`),
    7,
    null,
    undefined,
    {},
    ['a'],
  ])('name %j is refused', (name) => {
    expect(checkName('event_type', name)).toMatchObject({ code: 'INVALID', reason: 'event-type' })
    expect(checkName('publisher_id', name)).toMatchObject({ code: 'INVALID', reason: 'publisher-id' })
  })

  test.each([
    'notifications',
    'versioned_notifications',
    'a',
    '7',
    'a.b.c',
    'a-b.c_d',
    'a.b_',
    'a._b',
    'x'.repeat(64),
    `${'x'.repeat(64)}.dead`,
    'a.dead.dead',
  ])('topic and group %s are legal', (name) => {
    expect(checkTopic(name)).toBeUndefined()
    expect(checkTopic(name, 'group')).toBeUndefined()
  })

  test.each([
    '$JS.API.X',
    '_INBOX.x',
    '..',
    'a..b',
    '.a',
    'a.',
    '__consumer_offsets',
    '-a',
    'a-',
    'a.-b',
    'a.b-',
    'a*',
    'a.>',
    'a/b',
    'a b',
    'a\n',
    'é',
    'x'.repeat(65),
    `${'x'.repeat(65)}.dead`,
    '',
    7,
    null,
    ['a'],
  ])('topic and group %j are refused', (name) => {
    expect(checkTopic(name)).toMatchObject({ code: 'INVALID', reason: 'topic' })
    expect(checkTopic(name, 'group')).toMatchObject({ code: 'INVALID', reason: 'group' })
  })

  test.each(['a', '!~', 'x'.repeat(128), 'f81d4fae-7dec-11d0-a765-00a0c91e6bf6'])(
    'message id %s is legal',
    (id) => {
      expect(checkMessageId(id)).toBeUndefined()
    },
  )
  test.each(['', 'a b', 'é', 'a\n', 'x'.repeat(129), 7, null])('message id %j is refused', (id) => {
    expect(checkMessageId(id)).toMatchObject({ code: 'INVALID', reason: 'message-id' })
  })

  test.each(['a', 'order 7', 'é🎉', 'x'.repeat(255)])('key %j is legal', (key) => {
    expect(checkKey(key)).toBeUndefined()
  })
  test.each(['', 'x'.repeat(256), '\ud800', ...CONTROLS.map((control) => `a${control}`), 7, null])(
    'key %j is refused',
    (key) => {
      expect(checkKey(key)).toMatchObject({ code: 'INVALID', reason: 'key' })
    },
  )

  test.each([
    [{}],
    [{ a: '' }],
    [{ 'X-Trace.Id_1': 'é🎉 " ../' }],
    [{ ['x'.repeat(127)]: 'y' }],
    [{ constructor: 'a', toString: 'b', prototype: 'c' }],
    [{ CC: 'a', BCC: 'b', 'Nats-Rollup': 'all' }],
    [{ notify: 'a', 'x-notify-a': 'b' }],
  ])('headers %j are legal', (headers) => {
    expect(checkHeaders(headers)).toBeUndefined()
  })

  test.each<[headers: unknown, reason: string]>([
    [{ '': 'a' }, 'header-name'],
    [{ 'a b': 'a' }, 'header-name'],
    [{ 'a:': 'a' }, 'header-name'],
    [{ é: 'a' }, 'header-name'],
    [{ '.a': 'a' }, 'header-name'],
    [{ ['x'.repeat(128)]: 'a' }, 'header-name'],
    [JSON.parse('{"__proto__":"a"}'), 'header-name'],
    [{ a: 7 }, 'header-value'],
    [{ a: undefined }, 'header-value'],
    [{ a: null }, 'header-value'],
    [{ a: ['b'] }, 'header-value'],
    [{ a: '\ud800' }, 'header-value'],
    ...CONTROLS.slice(0, -1).map((control): [object, string] => [{ a: `b${control}c` }, 'header-value']),
    [{ 'notify-key': 'a' }, 'header-reserved'],
    [{ 'Notify-Dead': 'a' }, 'header-reserved'],
    [{ 'NOTIFY-x': 'a' }, 'header-reserved'],
    ['text', 'headers'],
    [['a'], 'headers'],
    [null, 'headers'],
  ])('headers %j are refused: %s', (headers, reason) => {
    expect(checkHeaders(headers)).toMatchObject({ code: 'INVALID', reason })
  })

  test("the library's own headers obey the same rule, but for the name", () => {
    expect(checkHeader('notify-dead', '{}')).toBeUndefined()
    expect(checkHeader('notify-dead', 'a\nb')).toMatchObject({ reason: 'header-value' })
  })
})
