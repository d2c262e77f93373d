import { type ErrorCode, type Failure, failure } from '@notify/core'

/** What an error is known by: amqplib gives a reply code, Node a name, and many have nothing but their text. */
export interface Row {
  /** Who says so, and when. */
  readonly from: 'opening' | 'broker' | 'client' | 'socket'
  readonly code?: RegExp
  readonly text?: RegExp
  readonly is: readonly [ErrorCode, reason: string, message: string]
  readonly scope: Failure['scope']
}

/** The first row that fits, decides. Codes are matched as text: `404`, `ECONNREFUSED`. */
export const ROWS: readonly Row[] = [
  // While a connection opens. A reply code is found only in the text here, and behind a refused vhost not even there.
  // What else is wrong with a handshake, RabbitMQ does not say: it closes the socket.
  ...from('opening', [
    row('transport', 'UNAUTHENTICATED', 'credentials', 'The broker does not accept user and password.', {
      text: /^Handshake terminated by server: 403/,
    }),
    row(
      'transport',
      'FORBIDDEN',
      'vhost',
      'There is no such vhost, this user may not use it, or it takes no more connections.',
      {
        text: /^Expected ConnectionOpenOk; got <ConnectionClose/,
      },
    ),
    row('transport', 'UNAUTHENTICATED', 'mechanism', 'The broker does not offer this way to authenticate.', {
      text: /^SASL mechanism/,
    }),
    row('transport', 'UNAUTHENTICATED', 'tls', 'The TLS handshake failed.', {
      code: /^(ERR_SSL_|ERR_TLS_|ERR_OSSL_|CERT_|CRL_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH|EPROTO)/,
    }),
    row('transport', 'UNAVAILABLE', 'connect-timeout', 'The broker did not answer in time.', {
      text: /^connect ETIMEDOUT$/,
    }),
  ]),

  // What the broker answers by closing a channel or a connection.
  ...from('broker', [
    row('transport', 'UNAVAILABLE', 'connection-closed', 'The broker closed the connection.', {
      code: /^320$/,
    }),
    row('transport', 'UNROUTABLE', 'no-exchange', 'There is no such exchange.', {
      code: /^404$/,
      text: /no exchange '/,
    }),
    row('destination', 'UNROUTABLE', 'no-queue', 'There is no such queue.', {
      code: /^404$/,
      text: /no queue '/,
    }),
    // Of one that is there, it says in several ways that its process is not.
    row('destination', 'UNAVAILABLE', 'queue-down', 'The node that holds the queue is down.', {
      code: /^404$/,
    }),
    row('destination', 'CONFLICT', 'locked', 'Another connection has the queue for itself.', {
      code: /^405$/,
    }),
    row('message', 'TOO_LARGE', 'message-bytes', 'It is larger than the broker takes.', {
      code: /^406$/,
      text: /message size/,
    }),
    row('destination', 'UNAVAILABLE', 'held-too-long', 'A delivery was held longer than consumer_timeout.', {
      code: /^406$/,
      text: /delivery acknowledgement.*timed out/,
    }),
    row('destination', 'CONFLICT', 'arguments', 'What is there has other arguments than those asked for.', {
      code: /^406$/,
      text: /inequivalent/,
    }),
    row('destination', 'CONFLICT', 'precondition', 'The broker does not do that with what is there.', {
      code: /^406$/,
    }),
    row('destination', 'FORBIDDEN', 'access-refused', 'The broker does not permit it to this user.', {
      code: /^403$/,
    }),
    // From here on it closes the connection, with all that is innocent on it.
    row('transport', 'UNAVAILABLE', 'not-allowed', 'The broker did not allow something.', {
      code: /^530$/,
    }),
    row('transport', 'UNAVAILABLE', 'not-implemented', 'The broker cannot do something.', {
      code: /^540$/,
    }),
    row('transport', 'UNAVAILABLE', 'internal', 'The broker failed inside, as it does after a restart.', {
      code: /^541$/,
    }),
    row('transport', 'UNAVAILABLE', 'resources', 'The broker is short of something.', {
      code: /^506$/,
    }),
    row('transport', 'UNAVAILABLE', 'protocol', 'What came over the wire made no sense.', {
      code: /^50[1-5]$/,
    }),
  ]),

  // What amqplib says of its own.
  ...from('client', [
    row('destination', 'THROTTLED', 'queue-full', 'A queue is full.', { text: /^message nacked$/ }),
    row('transport', 'UNAVAILABLE', 'heartbeat', 'The broker fell silent.', {
      text: /^Heartbeat timeout$/,
    }),
    row('transport', 'UNAVAILABLE', 'channels', 'All channels of the connection are in use.', {
      text: /^No channels left/,
    }),
    row('transport', 'UNAVAILABLE', 'lost', 'The connection is gone.', {
      text: /^(channel closed|Channel (ended|closed|closing)|Connection (closed|closing)|Socket closed abruptly|Unexpected close)/i,
    }),
    row('message', 'TOO_LARGE', 'headers', 'The headers are larger than a frame can hold.', {
      text: /^Encoded field table/,
    }),
    row('message', 'INVALID', 'field', 'A field cannot be written in AMQP.', {
      text: /^(Field '|Unknown type to encode|content is not a buffer)/,
    }),
    row('transport', 'UNAVAILABLE', 'protocol', 'What answers there does not speak AMQP as it should.', {
      text: /frame|^Expected /i,
    }),
  ]),

  // Sockets.
  ...from('socket', [
    row('transport', 'UNAVAILABLE', 'lost', 'The connection is gone.', {
      code: /^(ECONNRESET|EPIPE|ABORT_ERR)$/,
    }),
    row('transport', 'UNAVAILABLE', 'unreachable', 'The broker cannot be reached.', {
      code: /^E[A-Z_]+$/,
    }),
  ]),
]

/**
 * What an error of amqplib, of a socket or of the broker means. Whether the message may be there all the same is
 * not in the error: whoever knows what was written says so.
 */
export function classify(error: unknown, maybeSent = false): Failure {
  const found = rowOf(error)
  if (found === undefined) {
    return failure('UNKNOWN', undefined, undefined, { maybeSent, scope: 'transport', cause: error })
  }
  const [errorCode, reason, message] = found.is
  const retryable = errorCode === 'UNAVAILABLE' || errorCode === 'THROTTLED'
  return failure(errorCode, reason, message, { retryable, maybeSent, scope: found.scope, cause: error })
}

/** The row that decides. */
export function rowOf(error: unknown): Row | undefined {
  const { code, text } = describe(error)
  return ROWS.find((each) => (each.code?.test(code) ?? true) && (each.text?.test(text) ?? true))
}

function describe(error: unknown): { code: string; text: string } {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown }
  return { code: String(code ?? ''), text: typeof message === 'string' ? message : '' }
}

function from(who: Row['from'], rows: readonly Omit<Row, 'from'>[]): Row[] {
  return rows.map((each) => ({ ...each, from: who }))
}

function row(
  scope: Failure['scope'],
  code: ErrorCode,
  reason: string,
  message: string,
  by: { code?: RegExp; text?: RegExp },
): Omit<Row, 'from'> {
  return { ...by, is: [code, reason, message], scope }
}

export const closed = (): Failure =>
  failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

/** The connection went, with what was on it. */
export function lost(cause: unknown, maybeSent: boolean): Failure {
  const told = classify(cause, maybeSent)
  if (told.code === 'UNAVAILABLE') return told
  return failure('UNAVAILABLE', 'lost', 'The connection is gone.', {
    retryable: true,
    maybeSent,
    scope: 'transport',
    cause,
  })
}

export const timedOut = (what: string): Failure =>
  failure('UNAVAILABLE', 'no-answer', `No answer within its time: ${what}.`, {
    retryable: true,
    scope: 'transport',
  })

/** A failure as it is, or what an error means. */
export function toFailure(error: unknown): Failure {
  return isFailure(error) ? error : classify(error)
}

export function isFailure(value: unknown): value is Failure {
  const { retryable, scope } = (value ?? {}) as Partial<Failure>
  return typeof retryable === 'boolean' && typeof scope === 'string'
}
