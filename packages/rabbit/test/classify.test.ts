import { describe, expect, test } from 'vitest'
import { classify } from '../src/classify.ts'
import { blame } from '../src/publisher.ts'

function error(message: string, code?: number | string): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}

/** The texts are those that brokers and clients have given; a real fault behind each that can be had is in the other files. */
const ROWS: readonly [string, Error, string, boolean, string][] = [
  [
    'refused',
    error('connect ECONNREFUSED 127.0.0.1:1', 'ECONNREFUSED'),
    'UNAVAILABLE unreachable',
    true,
    'transport',
  ],
  [
    'no such host',
    error('getaddrinfo ENOTFOUND x', 'ENOTFOUND'),
    'UNAVAILABLE unreachable',
    true,
    'transport',
  ],
  ['reset', error('read ECONNRESET', 'ECONNRESET'), 'UNAVAILABLE lost', true, 'transport'],
  ['silent at connect', error('connect ETIMEDOUT'), 'UNAVAILABLE connect-timeout', true, 'transport'],
  [
    'wrong password',
    error(
      'Handshake terminated by server: 403 (ACCESS-REFUSED) with message "ACCESS_REFUSED - Login was refused"',
    ),
    'UNAUTHENTICATED credentials',
    false,
    'transport',
  ],
  [
    'no vhost',
    error('Expected ConnectionOpenOk; got <ConnectionClose channel:0>'),
    'FORBIDDEN vhost',
    false,
    'transport',
  ],
  [
    'mechanism',
    error('SASL mechanism EXTERNAL is not provided by the server'),
    'UNAUTHENTICATED mechanism',
    false,
    'transport',
  ],
  [
    'TLS on a plain port',
    error('wrong version number', 'ERR_SSL_WRONG_VERSION_NUMBER'),
    'UNAUTHENTICATED tls',
    false,
    'transport',
  ],
  [
    'self-signed',
    error('self-signed certificate', 'DEPTH_ZERO_SELF_SIGNED_CERT'),
    'UNAUTHENTICATED tls',
    false,
    'transport',
  ],
  [
    'another host',
    error('does not match', 'ERR_TLS_CERT_ALTNAME_INVALID'),
    'UNAUTHENTICATED tls',
    false,
    'transport',
  ],
  [
    'expired',
    error('certificate has expired', 'CERT_HAS_EXPIRED'),
    'UNAUTHENTICATED tls',
    false,
    'transport',
  ],
  [
    'no exchange',
    error(`NOT_FOUND - no exchange 'x' in vhost '/'`, 404),
    'UNROUTABLE no-exchange',
    false,
    'transport',
  ],
  [
    'no queue',
    error(`NOT_FOUND - no queue 'x' in vhost '/'`, 404),
    'UNROUTABLE no-queue',
    false,
    'destination',
  ],
  [
    'queue on a dead node',
    error(`NOT_FOUND - home node 'b' of durable queue 'x' in vhost '/' is down or inaccessible`, 404),
    'UNAVAILABLE queue-down',
    true,
    'destination',
  ],
  [
    'queue on a node that was stopped',
    error(`NOT_FOUND - queue 'x' in vhost '/' process is stopped by supervisor`, 404),
    'UNAVAILABLE queue-down',
    true,
    'destination',
  ],
  [
    'declared otherwise',
    error(`PRECONDITION_FAILED - inequivalent arg 'durable'`, 406),
    'CONFLICT arguments',
    false,
    'destination',
  ],
  [
    'too large',
    error('PRECONDITION_FAILED - message size 9 is larger than configured max size 8', 406),
    'TOO_LARGE message-bytes',
    false,
    'message',
  ],
  [
    'held too long',
    error(
      'PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1',
      406,
    ),
    'UNAVAILABLE held-too-long',
    true,
    'destination',
  ],
  ['exclusive', error('RESOURCE_LOCKED', 405), 'CONFLICT locked', false, 'destination'],
  [
    'no right',
    error(`ACCESS_REFUSED - configure access to exchange 'x' refused`, 403),
    'FORBIDDEN access-refused',
    false,
    'destination',
  ],
  ['not allowed', error('NOT_ALLOWED', 530), 'UNAVAILABLE not-allowed', true, 'transport'],
  ['not implemented', error('NOT_IMPLEMENTED', 540), 'UNAVAILABLE not-implemented', true, 'transport'],
  ['short of something', error('RESOURCE_ERROR', 506), 'UNAVAILABLE resources', true, 'transport'],
  ['after a restart', error('INTERNAL_ERROR - noproc', 541), 'UNAVAILABLE internal', true, 'transport'],
  [
    'administrator',
    error('CONNECTION_FORCED - closed', 320),
    'UNAVAILABLE connection-closed',
    true,
    'transport',
  ],
  ['nack', error('message nacked'), 'THROTTLED queue-full', true, 'destination'],
  ['channel gone', error('channel closed'), 'UNAVAILABLE lost', true, 'transport'],
  ['used after its end', error('Channel closed'), 'UNAVAILABLE lost', true, 'transport'],
  [
    'call cut short',
    error('Channel ended, no reply will be forthcoming'),
    'UNAVAILABLE lost',
    true,
    'transport',
  ],
  ['silence', error('Heartbeat timeout'), 'UNAVAILABLE heartbeat', true, 'transport'],
  ['bit turned', error('FRAME_ERROR', 501), 'UNAVAILABLE protocol', true, 'transport'],
  ['no channel left', error('No channels left to allocate'), 'UNAVAILABLE channels', true, 'transport'],
  [
    'headers',
    new RangeError('Encoded field table (headers or arguments) exceeds the 65536 byte encoding buffer'),
    'TOO_LARGE headers',
    false,
    'message',
  ],
  [
    'field',
    new TypeError(`Field 'routingKey' is the wrong type; must be a string (up to 255 chars)`),
    'INVALID field',
    false,
    'message',
  ],
]

test.each(ROWS)('an error is told apart: %s', (_, native, is, retryable, scope) => {
  const told = classify(native)
  expect([`${told.code} ${told.reason}`, told.retryable, told.scope]).toEqual([is, retryable, scope])
  expect(told).toMatchObject({ maybeSent: false, cause: native })
  expect(classify(native, true).maybeSent).toBe(true)
})

test.each([[undefined], [null], ['text'], [{}], [new Error('never heard of')]])(
  'nothing else is guessed at: %s',
  (value) => {
    expect(classify(value)).toMatchObject({ code: 'UNKNOWN', retryable: false, cause: value })
  },
)

describe('when the broker closes a channel', () => {
  const suspect = { body: 9, name: 'orders.info', alone: false, fresh: false, declares: false }

  test('the message of that size is too large, and the others are tried again', () => {
    const cause = error('PRECONDITION_FAILED - message size 9 is larger than configured max size 8', 406)
    expect(blame(cause, suspect)).toMatchObject({ code: 'TOO_LARGE', maybeSent: false })
    expect(blame(cause, { ...suspect, body: 5 })).toMatchObject({ code: 'UNAVAILABLE', maybeSent: true })
  })

  test('a topic that may not be written is one destination’s trouble', () => {
    const cause = error(
      `ACCESS_REFUSED - write access to topic 'orders.info' in exchange 'notify' refused`,
      403,
    )
    expect(blame(cause, suspect)).toMatchObject({ code: 'FORBIDDEN', scope: 'destination' })
    expect(blame(cause, { ...suspect, name: 'stock.info' })).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
    })
  })

  test('a missing exchange is certain for one alone, likely on a fresh channel, and made again where we declare', () => {
    const cause = error(`NOT_FOUND - no exchange 'notify' in vhost '/'`, 404)
    expect(blame(cause, { ...suspect, alone: true })).toMatchObject({ code: 'UNROUTABLE', maybeSent: false })
    expect(blame(cause, { ...suspect, fresh: true })).toMatchObject({ code: 'UNROUTABLE', maybeSent: true })
    expect(blame(cause, suspect)).toMatchObject({ code: 'UNAVAILABLE', retryable: true, maybeSent: true })
    expect(blame(cause, { ...suspect, alone: true, declares: true })).toMatchObject({
      code: 'UNAVAILABLE',
      reason: 'exchange-gone',
    })
  })
})
