import { describe, expect, test } from 'vitest'
import type { Capabilities, Driver } from '../src/driver.ts'
import { createListener, type ListenerOptions } from '../src/listener/listener.ts'
import { ScriptedConsumer } from './support/consumer.ts'

const handlers = [{ handle() {} }]
const refusal = (options: object, capabilities: Partial<Capabilities> = {}): unknown => {
  try {
    createListener({ driver: new ScriptedConsumer(capabilities), handlers, ...options } as ListenerOptions)
  } catch (error) {
    return error
  }
  return 'accepted'
}

describe('createListener refuses', () => {
  test.each([
    [
      'an unknown option, with a suggestion',
      { handler: [] },
      'createListener has no option "handler". Did you mean "handlers"?',
    ],
    ['a misspelt one', { prefech: 50 }, 'Did you mean "prefetch"?'],
    ['no driver', { driver: undefined }, 'driver must be a driver'],
    [
      'a driver of another contract',
      { driver: { contract: 2, name: 'old', capabilities: {}, publish() {} } },
      'keeps contract 2',
    ],
    ['no handlers', { handlers: [] }, 'handlers must be an array of at least one entry'],
    ['handlers that are none', { handlers: [{ handle: 'x' }] }, 'handlers[0].handle must be a function'],
    ['a handler that is null', { handlers: [null] }, 'handlers[0] must be an object'],
    [
      'a misspelt key of a handler',
      { handlers: [{ handle() {}, event_typ: 'x' }] },
      'Did you mean "event_type"?',
    ],
    [
      'a priority that there is not',
      { handlers: [{ handle() {}, priorities: ['WARNING'] }] },
      'handlers[0].priorities has "WARNING"',
    ],
    ['priorities that are none', { handlers: [{ handle() {}, priorities: [] }] }, 'handlers[0].priorities'],
    ['a glob that is none', { handlers: [{ handle() {}, event_type: ['x'] }] }, 'handlers[0].event_type'],
    ['a predicate that is none', { handlers: [{ handle() {}, where: true }] }, 'handlers[0].where'],
    ['an unknown attempts key', { attempts: { maxx: 1 } }, 'Did you mean "max"?'],
    ['no attempts', { attempts: { max: 0 } }, 'attempts.max'],
    ['half an attempt', { handlers: [{ handle() {}, attempts: { max: 1.5 } }] }, 'handlers[0].attempts.max'],
    ['a wait that shrinks', { attempts: { minMs: 100, maxMs: 50 } }, 'attempts.maxMs'],
    ['no topics', { topics: [] }, 'topics'],
    ['a concurrency of none', { concurrency: 0 }, 'concurrency'],
    ['a concurrency without end', { concurrency: Number.POSITIVE_INFINITY }, 'concurrency'],
    ['less prefetch than 50', { prefetch: 49 }, 'prefetch'],
    ['less prefetch than twice the concurrency', { prefetch: 79, concurrency: 40 }, 'prefetch'],
    ['prefetch that is text', { prefetch: '60' }, 'prefetch'],
    ['maxDeliveries of none', { maxDeliveries: 0 }, 'maxDeliveries'],
    ['a timeout of none', { handlerTimeoutMs: 0 }, 'handlerTimeoutMs'],
    ['a timeout that is no number', { handlerTimeoutMs: Number.NaN }, 'handlerTimeoutMs'],
    ['deadLetters that are no boolean', { deadLetters: 'no' }, 'deadLetters'],
    ['a beginning that there is not', { from: 'latest', group: 'g' }, 'from'],
    ['"earliest" without a group', { from: 'earliest' }, 'group'],
    ['codecs that are none', { codecs: [{}] }, 'codecs'],
    ['no codecs', { codecs: [] }, 'codecs'],
    ['an unknown backoff key', { backoff: { min: 1 } }, 'Did you mean "minMs"?'],
    ['a hook that is none', { onFailure: 'x' }, 'onFailure'],
    ['a clock that is none', { clock: {} }, 'clock'],
  ])('%s: INVALID', (_, options, message) => {
    expect(refusal(options)).toMatchObject({
      name: 'NotifyError',
      code: 'INVALID',
      reason: 'option',
      message: expect.stringContaining(message),
    })
  })

  test.each([
    ['topic', { topics: ['a b'] }],
    ['topic', { topics: ['$JS.API'] }],
    ['group', { group: '.x' }],
    ['group', { group: '' }],
  ])('a %s that no transport can have', (reason, options) => {
    expect(refusal(options)).toMatchObject({ code: 'INVALID', reason })
  })

  test.each([
    ['group', { group: 'g' }, { groups: false }],
    ['history', { group: 'g', from: 'earliest' }, { history: false }],
    ['subscribe', { driver: Object.assign(new ScriptedConsumer(), { subscribe: undefined }) }, {}],
  ])('what the transport cannot do: UNSUPPORTED %s', (reason, options, capabilities) => {
    expect(refusal(options, capabilities)).toMatchObject({ name: 'NotifyError', code: 'UNSUPPORTED', reason })
  })

  test('without holding the driver', async () => {
    const driver = new ScriptedConsumer()
    expect(refusal({ driver: driver as Driver, concurrency: -1 })).not.toBe('accepted')
    await createListener({ driver, handlers }).stop()
    expect(driver.closes).toBe(1)
  })
})

test.each([
  { from: 'new', group: 'g' },
  { topics: ['notifications.dead', 'a', 'a'] },
  { attempts: { max: Number.POSITIVE_INFINITY, withinMs: Number.POSITIVE_INFINITY } },
  { attempts: { maxMs: 50 } },
  { attempts: { minMs: 50_000 } },
  { backoff: { maxMs: 50 } },
  { handlerTimeoutMs: 2 ** 40 },
  { maxDeliveries: Number.POSITIVE_INFINITY },
  { group: undefined, from: undefined, clock: undefined },
])('createListener accepts %o', (options) => {
  expect(refusal(options)).toBe('accepted')
})
