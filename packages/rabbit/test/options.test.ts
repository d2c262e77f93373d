import { EventEmitter } from 'node:events'
import { isNotifyError } from '@notify/core'
import { expect, test } from 'vitest'
import { staticWarnings } from '../src/health.ts'
import { type RabbitOptions, rabbit } from '../src/index.ts'
import { hostsOf } from '../src/options.ts'
import { textOf } from './support.ts'

function refusal(options: object): unknown {
  try {
    rabbit(options as RabbitOptions)
  } catch (error) {
    return error
  }
  return undefined
}

test.each([
  'http://user:hunter2@host',
  'user:hunter2@host',
  'amqp://user:hunter2%zz@host',
  'amqp://user:hunter2@',
  'amqp://user:hunter2@host:99999',
  'amqp://user:hun/ter2@host',
])('a URL that is none is refused without being told: %#', (url) => {
  const error = refusal({ url })
  expect(isNotifyError(error) && [error.code, error.reason]).toEqual(['INVALID', 'url'])
  expect(textOf(error)).not.toMatch(/hunter2|hun\/ter2/)
})

test.each([
  'amqp://user:hunter2@host?heartbeat=5',
  'amqp://user:hunter2@host/vhost?frameMax=8192&heartbeat=5',
  'amqp://user:2#hunter2@host',
])('what a URL would carry along is refused, with the options to use: %#', (url) => {
  const error = refusal({ urls: ['amqp://host', url] })
  expect(isNotifyError(error) && [error.code, error.reason]).toEqual(['INVALID', 'url'])
  expect(String(error)).toMatch(/heartbeatMs, connectTimeoutMs, tls, socket/)
  expect(textOf(error)).not.toContain('hunter2')
})

const CONNECTION = new Proxy({}, { get: () => () => {} })

test.each<[object, RegExp]>([
  [{ connection: null }, /connection must be/],
  [{ connection: {} }, /connection must be/],
  [{ connection: 'amqp://x' }, /connection must be/],
  [{ connection: { publish: { ...new Map() }, consume: {} } }, /connection must be/],
  [{ connection: { publish: new EventEmitter() } }, /connection must be/],
  [{ tls: 'yes' }, /tls must be an object/],
  [{ socket: 1 }, /socket must be an object/],
  [{ url: 'amqp://x', tls: {} }, /tls goes with amqps/],
  [{ tls: { ca: 'x' } }, /tls goes with amqps/],
  [{ urls: ['amqps://x', 'amqp://y'], tls: {} }, /tls goes with amqps/],
  [{ connection: CONNECTION, heartbeatMs: 5 }, /heartbeatMs changes nothing/],
  [{ connection: CONNECTION, connectTimeoutMs: 5 }, /connectTimeoutMs changes nothing/],
  [{ connection: CONNECTION, tls: {} }, /tls changes nothing/],
  [{ connection: CONNECTION, socket: {} }, /socket changes nothing/],
])('what would not be done is refused: %#', (options, message) => {
  expect(refusal(options)).toMatchObject({
    code: 'INVALID',
    reason: 'option',
    message: expect.stringMatching(message),
  })
})

test('every part of a URL arrives decoded', () => {
  const [host] = hostsOf({ url: 'amqps://us%40er:p%40%3A%2F%25%23w@[::1]/a%2Fb', heartbeatMs: 1_500 })
  expect(host?.url).toMatchObject({
    protocol: 'amqps',
    hostname: '::1',
    port: 5671,
    username: 'us@er',
    password: 'p@:/%#w',
    vhost: 'a%2Fb',
    heartbeat: 2,
  })
})

test.each<[object, RegExp]>([
  [{ uri: 'amqp://x' }, /Did you mean "url"/],
  [{ url: 'amqp://x', urls: ['amqp://y'] }, /Only one/],
  [{ urls: [] }, /urls/],
  [{ topology: 'maybe' }, /topology/],
  [{ queueType: 'stream' }, /queueType/],
  [{ groups: [] }, /groups/],
  [{ groups: ['a@b'] }, /group/],
  [{ exchange: '' }, /exchange/],
  [{ maxMessageBytes: 0.5 }, /maxMessageBytes/],
  [{ heartbeatMs: -1 }, /heartbeatMs/],
])('a bad option is refused where it is written: %o', (options, message) => {
  expect(refusal(options)).toMatchObject({ code: 'INVALID', message: expect.stringMatching(message) })
})

test('capabilities are frozen, and follow from the options', () => {
  const { capabilities } = rabbit({ queueType: 'classic' })
  expect(Object.isFrozen(capabilities)).toBe(true)
  expect(capabilities.deliveryCount).toBe(false)
  expect(rabbit().capabilities).toEqual(rabbit({}).capabilities)
})

test('an operator hears of what could lose or leak', () => {
  expect(staticWarnings({})).toEqual([])
  expect(staticWarnings({ urls: ['amqp://[::1]', 'amqp://127.0.0.2', 'amqp://localhost'] })).toEqual([])
  expect(staticWarnings({ url: 'amqp://rabbit.internal' })).toEqual([expect.stringMatching(/in the clear/)])
  expect(staticWarnings({ url: 'amqps://x', tls: { rejectUnauthorized: false } })).toEqual([
    expect.stringMatching(/certificate/),
  ])
  expect(staticWarnings({ queueType: 'classic' })).toEqual([expect.stringMatching(/classic/)])
  expect(staticWarnings({ topology: 'none' })).toEqual([expect.stringMatching(/x-delivery-limit/)])
})
