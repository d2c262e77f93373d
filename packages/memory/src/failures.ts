import { type ErrorCode, type Failure, NotifyError, type OutboundMessage } from '@notify/core'

/** A failure of one message, final, of which nothing was sent, where nothing else is said. */
export function fault(
  code: ErrorCode,
  reason: string,
  message: string,
  rest: Partial<Failure> = {},
): Failure {
  return { code, reason, message, retryable: false, maybeSent: false, scope: 'message', ...rest }
}

/** What a failure of this code usually looks like. */
export function likely(code: ErrorCode): Pick<Failure, 'retryable' | 'scope'> {
  const retryable = code === 'UNAVAILABLE' || code === 'THROTTLED'
  if (['UNAVAILABLE', 'UNAUTHENTICATED', 'FORBIDDEN', 'CLOSED'].includes(code)) {
    return { retryable, scope: 'transport' }
  }
  const ofDestination = ['THROTTLED', 'UNROUTABLE', 'CONFLICT'].includes(code)
  return { retryable, scope: ofDestination ? 'destination' : 'message' }
}

export const AFTER_FAILURE: Failure = Object.freeze(
  fault('UNAVAILABLE', 'after-failure', 'An earlier message of this key failed.', { retryable: true }),
)

export const closed = (): Failure =>
  fault('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

/** Refuses bad options, where they were written. */
export function checkOptions(what: string, options: object, known: readonly string[]): void {
  for (const name of Object.keys(options)) {
    if (!known.includes(name)) refuse(`${what} has no option "${name}". It has ${known.join(', ')}.`)
  }
}

/** A whole number of something. */
export function checkCount(name: string, value: number | undefined): void {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return
  if (!Number.isInteger(value) || value < 0) refuse(`${name} must be a whole number, 0 at least.`)
}

export function refuse(message: string): never {
  throw new NotifyError(fault('INVALID', 'option', message))
}

const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/

/** What core has checked for a program that emits, and nobody for other callers. */
export function checkMessage(message: OutboundMessage, maxMessageBytes: number): Failure | undefined {
  const { body, headers, key } = message
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (!HEADER_NAME.test(name)) return fault('INVALID', 'header-name', 'A header name is not well-formed.')
    if (typeof value !== 'string' || CONTROL.test(value) || !value.isWellFormed()) {
      return fault('INVALID', 'header-value', `The value of header ${name} is not well-formed.`)
    }
  }
  if (sizeOf(body, headers, key) <= maxMessageBytes) return undefined
  return fault('TOO_LARGE', 'message-bytes', `The message is larger than ${maxMessageBytes} bytes.`)
}

/** What counts against a limit: body, key, header names and values, in bytes. */
export function sizeOf(
  body: Uint8Array,
  headers: Readonly<Record<string, string>>,
  key: string | undefined,
): number {
  let size = body.length + (key === undefined ? 0 : byteLength(key))
  for (const name of Object.keys(headers)) size += name.length + byteLength(headers[name] as string)
  return size
}

function byteLength(text: string): number {
  return globalThis.Buffer?.byteLength(text) ?? new TextEncoder().encode(text).length
}

/** Strings, whatever came. A name that no header can have is left out, and so cannot reach a prototype. */
export function toHeaders(given: Readonly<Record<string, unknown>> = {}): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of Object.keys(given)) {
    const value = given[name]
    if (!HEADER_NAME.test(name) || value === undefined) continue
    if (typeof value === 'string') headers[name] = value
    else
      headers[name] =
        typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value ?? '')
  }
  return headers
}
