import { expect, test } from 'vitest'
import { checkName, classify, fromWire, toFailure, toWire } from '../src/wire.ts'
import { outbound } from './support.ts'

/** As it goes over the wire. */
const carried = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

test('what is sent arrives: every byte, every header, the key and the content type', () => {
  const message = outbound({
    body: Uint8Array.from({ length: 256 }, (_, byte) => byte),
    headers: { Tenant: 'é "😀" ../', empty: '', constructor: 'x', CC: 'y' },
    key: 'order/12\r\n',
    contentType: 'application/octet-stream',
  })
  const { body, ...rest } = fromWire(carried(toWire(message)))
  expect([...body]).toEqual([...message.body])
  expect(rest).toEqual({
    headers: message.headers,
    key: message.key,
    contentType: message.contentType,
  })
})

test('an outside reader finds the message as documented', () => {
  const message = outbound({ id: 'id-1', body: new Uint8Array([0, 255]), headers: { tenant: 'a' }, key: 'k' })
  expect(carried(toWire(message))).toEqual({
    id: 'id-1',
    type: 'text/plain',
    key: 'k',
    headers: { tenant: 'a' },
    body: 'AP8=',
  })
})

test('a view into a larger buffer is sent without its surroundings', () => {
  const body = new Uint8Array([1, 2, 3, 4]).subarray(1, 3)
  expect([...fromWire(toWire(outbound({ body }))).body]).toEqual([2, 3])
})

test.each([
  ['nothing', undefined],
  ['null', null],
  ['a string', 'text'],
  ['an empty object', {}],
  ['fields of other kinds', { type: 1, key: {}, headers: 'x', body: 12 }],
])('%s from another client is an empty message', (_, message) => {
  const { body, ...rest } = fromWire(message)
  expect(body).toHaveLength(0)
  expect(rest).toEqual({ headers: {} })
})

test('headers of another client become strings; a name that none can have is left out', () => {
  const { headers } = fromWire(
    JSON.parse('{"headers": {"__proto__": {"x": 1}, "a b": "c", "n": 1, "b": true, "l": [1], "none": null}}'),
  )
  expect(headers).toEqual({ n: '1', b: 'true', l: '[1]', none: '' })
  expect(Object.getPrototypeOf(headers)).toBe(Object.prototype)
})

test.each([
  ['no-destination', 'UNROUTABLE', 'destination', false],
  ['no-group', 'UNROUTABLE', 'destination', false],
  ['full', 'THROTTLED', 'destination', true],
  ['blocked', 'THROTTLED', 'transport', true],
  ['too-large', 'TOO_LARGE', 'message', false],
  ['password', 'UNAUTHENTICATED', 'transport', false],
  ['ECONNREFUSED', 'UNAVAILABLE', 'transport', true],
  ['ECONNRESET', 'UNAVAILABLE', 'transport', true],
  ['ENOTFOUND', 'UNAVAILABLE', 'transport', true],
  ['something new', 'UNKNOWN', 'message', false],
  ['toString', 'UNKNOWN', 'message', false],
])('%s is %s for the %s', (native, code, scope, retryable) => {
  const cause = Object.assign(new Error(native), { code: native })
  expect(classify(cause)).toMatchObject({ code, scope, retryable, maybeSent: false, cause })
})

test('a failure stays what it is, and what is no error at all is UNKNOWN', () => {
  const failure = classify({ code: 'full' })
  expect(toFailure(failure)).toBe(failure)
  expect(toFailure(undefined)).toMatchObject({ code: 'UNKNOWN', retryable: false })
})

test.each(['', 'a\nb', 'a\0', '\ud800', 'x'.repeat(256)])('%j is no name for acme', (name) => {
  expect(checkName(name)).toMatchObject({ code: 'INVALID', reason: 'destination-name', scope: 'destination' })
})

test.each(['orders.info', 'é*>#/', '__proto__'])('%j is', (name) => {
  expect(checkName(name)).toBeUndefined()
})
