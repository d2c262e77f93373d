import { type Delivery, type ErrorCode, type Failure, failure, type OutboundMessage } from '@notify/core'

/** A message as acme keeps it. */
export interface WireMessage {
  readonly id: string
  readonly type: string
  readonly key?: string
  readonly headers: Readonly<Record<string, string>>
  /** Base64. */
  readonly body: string
}

export function toWire({ id, contentType, key, headers, body }: OutboundMessage): WireMessage {
  return {
    id,
    type: contentType,
    ...(key === undefined ? {} : { key }),
    headers,
    body: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64'),
  }
}

/** What was on the wire, whoever put it there. */
export function fromWire(message: unknown): Pick<Delivery, 'body' | 'contentType' | 'headers' | 'key'> {
  const { type, key, headers, body } = (message ?? {}) as Readonly<Record<string, unknown>>
  return {
    body: Buffer.from(typeof body === 'string' ? body : '', 'base64'),
    headers: toHeaders(headers),
    ...(typeof type === 'string' ? { contentType: type } : {}),
    ...(typeof key === 'string' ? { key } : {}),
  }
}

const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

/** `__proto__` is no header's name. */
function toHeaders(table: unknown): Record<string, string> {
  const headers: Record<string, string> = {}
  if (typeof table !== 'object' || table === null) return headers
  for (const [name, value] of Object.entries(table)) {
    if (HEADER_NAME.test(name)) headers[name] = toText(value)
  }
  return headers
}

/** JSON has numbers, lists and tables as well. */
function toText(value: unknown): string {
  if (typeof value === 'string') return value
  return value === null ? '' : JSON.stringify(value)
}

/** Names of destinations and groups, which acme takes as they are: no two ever meet. */
export function checkName(name: string): Failure | undefined {
  const allowed = typeof name === 'string' && /^\P{Cc}{1,255}$/u.test(name) && name.isWellFormed()
  if (allowed) return undefined
  const message = 'A name is well-formed text of 1 to 255 characters, none of them a control character.'
  return failure('INVALID', 'destination-name', message, { scope: 'destination' })
}

type Row = readonly [code: ErrorCode, scope: Failure['scope'], reason: string, message: string]

/** By what the broker calls it, or Node. */
const ROWS: Readonly<Record<string, Row>> = {
  'no-destination': ['UNROUTABLE', 'destination', 'no-destination', 'There is no such destination.'],
  'no-group': ['UNROUTABLE', 'destination', 'no-group', 'The destination has no such group.'],
  full: ['THROTTLED', 'destination', 'queue-full', 'A queue of the destination is full.'],
  blocked: ['THROTTLED', 'transport', 'blocked', 'An alarm of the broker blocks all who publish.'],
  'too-large': ['TOO_LARGE', 'message', 'message-bytes', 'The message is larger than the broker takes.'],
  password: ['UNAUTHENTICATED', 'transport', 'password', 'The broker does not accept the password.'],
  ECONNRESET: ['UNAVAILABLE', 'transport', 'lost', 'The connection is gone.'],
  EPIPE: ['UNAVAILABLE', 'transport', 'lost', 'The connection is gone.'],
}
const UNREACHABLE: Row = ['UNAVAILABLE', 'transport', 'unreachable', 'The broker cannot be reached.']

/**
 * What an error of a socket, or one that the broker has answered, means. Whether the message may be there all the
 * same is not in it: whoever knows what was written says so.
 */
export function classify(error: unknown): Failure {
  const { code } = (error ?? {}) as { code?: unknown }
  const name = String(code)
  const row = Object.hasOwn(ROWS, name) ? ROWS[name] : /^E[A-Z_]+$/.test(name) ? UNREACHABLE : undefined
  if (row === undefined) return failure('UNKNOWN', undefined, undefined, { cause: error })
  const retryable = row[0] === 'UNAVAILABLE' || row[0] === 'THROTTLED'
  return failure(row[0], row[2], row[3], { retryable, scope: row[1], cause: error })
}

/** A failure as it is, or what an error means. */
export function toFailure(error: unknown): Failure {
  const { retryable, scope } = (error ?? {}) as Partial<Failure>
  return typeof retryable === 'boolean' && typeof scope === 'string' ? (error as Failure) : classify(error)
}

export const closed = (): Failure =>
  failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

/** Why a call was told to stop. */
export const aborted = (signal: AbortSignal): Failure => ({
  ...(signal.reason as Failure),
  maybeSent: false,
})

/** No answer came, and none is to be expected. */
export const unavailable = (reason: string, message: string): Failure =>
  failure('UNAVAILABLE', reason, message, { retryable: true, scope: 'transport' })

export const timedOut = (): Failure => unavailable('no-answer', 'The broker did not answer in time.')
