import { type ErrorCode, type Failure, failure as fault, NotifyError } from '@notify/core'

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

/** A whole number of something. */
export function checkCount(name: string, value: number | undefined): void {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return
  if (!Number.isInteger(value) || value < 0) refuse(`${name} must be a whole number, 0 at least.`)
}

export function refuse(message: string): never {
  throw new NotifyError(fault('INVALID', 'option', message))
}

const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/
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
