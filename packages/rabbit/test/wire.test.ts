import type { ConsumeMessage } from 'amqplib'
import { expect, test } from 'vitest'
import { fromWire, toWire } from '../src/wire.ts'
import { outbound } from './support.ts'

const destination = { topic: 'orders', priority: 'INFO', name: 'orders.info' } as const

function received(
  headers: Record<string, unknown>,
  properties: Record<string, unknown> = {},
): ConsumeMessage {
  return {
    content: Buffer.from('x'),
    fields: { redelivered: true },
    properties: { headers, ...properties },
  } as unknown as ConsumeMessage
}

test('a message is persistent, mandatory, and has its id', () => {
  const { options } = toWire(outbound(destination, 'id-1'))
  expect(options).toMatchObject({
    messageId: 'id-1',
    persistent: true,
    mandatory: true,
    contentType: 'application/json',
  })
})

test('the bytes are those of the view, not of what it is a view of', () => {
  const body = new Uint8Array([1, 2, 3, 4]).subarray(1, 3)
  expect([...toWire(outbound(destination, 'id', { body })).content]).toEqual([2, 3])
})

test('what RabbitMQ would act on travels under another name, and comes back', () => {
  const headers = { CC: 'a', BCC: 'b', 'x-delivery-count': '7', cc: 'c', plain: '' }
  const { options } = toWire(outbound(destination, 'id', { headers, key: 'k' }))
  expect(options.headers).toEqual({
    'notify-h-CC': 'a',
    'notify-h-BCC': 'b',
    'notify-h-x-delivery-count': '7',
    cc: 'c',
    plain: '',
    'notify-key': 'k',
  })
  expect(fromWire(received(options.headers), true)).toMatchObject({ headers, key: 'k', deliveries: 1 })
})

test('headers are strings, whatever was there; a name that none can have is left out', () => {
  const table = {
    text: 'é',
    whole: 1,
    yes: true,
    nothing: null,
    list: [1, 'a'],
    nested: { a: 1 },
    bytes: Buffer.from('hi'),
    _proto: 'no',
    'with space': 'no',
    CC: ['no'],
  }
  expect(fromWire(received(table), false)).toEqual({
    body: Buffer.from('x'),
    headers: {
      text: 'é',
      whole: '1',
      yes: 'true',
      nothing: '',
      list: '[1,"a"]',
      nested: '{"a":1}',
      bytes: 'aGk=',
    },
  })
})

test.each([
  [{}, 1],
  [{ 'x-delivery-count': 2 }, 3],
  [{ 'x-delivery-count': 2, 'x-acquired-count': 5 }, 6],
  [{ 'x-delivery-count': 'many' }, 1],
])('deliveries are one more than the queue counted: %o', (table, deliveries) => {
  expect(fromWire(received(table), true).deliveries).toBe(deliveries)
})

test('a message that comes for the first time has come once, whatever it says', () => {
  const message = received({ 'x-delivery-count': 90 })
  const first = { ...message, fields: { ...message.fields, redelivered: false } }
  expect(fromWire(first, true).deliveries).toBe(1)
})

test('what amqplib makes a prototype of is no key and no count', () => {
  const table = Object.create({ 'notify-key': 'forged', 'x-delivery-count': 90, plain: 'forged' })
  const { key, deliveries, headers } = fromWire(received(table), true)
  expect({ key, deliveries, headers }).toEqual({ key: undefined, deliveries: 1, headers: {} })
})

test('no table, no content type: no trouble', () => {
  const bare = { content: Buffer.alloc(0), fields: {}, properties: {} } as unknown as ConsumeMessage
  expect(fromWire(bare, false)).toEqual({ body: Buffer.alloc(0), headers: {} })
})
