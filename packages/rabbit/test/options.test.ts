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
