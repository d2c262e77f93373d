import type { Receipt } from './notifier/emission.ts'

/**
 * Everything that can go wrong, as a closed set. The documentation has a paragraph for each: what happened,
 * and what to do. Whether a message may have been stored is never a code, but `maybeSent`.
 */
export type ErrorCode =
  | 'UNAVAILABLE'
  | 'THROTTLED'
  | 'UNROUTABLE'
  | 'CONFLICT'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'TOO_LARGE'
  | 'INVALID'
  | 'UNSUPPORTED'
  | 'CLOSED'
  | 'ABORTED'
  | 'DEADLINE'
  | 'OVERLOADED'
  | 'SHED'
  | 'CORRUPT'
  | 'UNKNOWN'

/**
 * What a driver reports: plain data, from which core makes the error that a program sees. It holds no
 * secret in any field, at any depth.
 */
export interface Failure {
  readonly code: ErrorCode
  /** Open set, kebab-case: `queue-full`, `no-route`, `attempt-timeout`. */
  readonly reason?: string
  /** One sentence for a human. */
  readonly message?: string
  /** Whether another attempt could succeed without anybody changing anything. */
  readonly retryable: boolean
  /** It was sent and not answered, so the broker may have stored it. `false` states that the broker has not got it. */
  readonly maybeSent: boolean
  /** What the trouble concerns: this message alone, all of its destination, or the transport as a whole. */
  readonly scope: 'message' | 'destination' | 'transport'
  /** The broker's own advice on when to try again, in milliseconds. */
  readonly retryAfterMs?: number
  /** For `INVALID` payloads: where, such as `$.items[3].size`. */
  readonly path?: string
  /** The native error. */
  readonly cause?: unknown
}

const BRAND = Symbol.for('@notify/core.NotifyError')

/** What happened, in a few words, and what to do about it. The long form is in docs/errors.md. */
const CODES: Readonly<Record<ErrorCode, string>> = /* @__PURE__ */ Object.freeze({
  UNAVAILABLE: 'the broker cannot be reached or does not answer; check its address, and that it runs',
  THROTTLED: 'the broker asks to slow down; consume faster, or raise its limits',
  UNROUTABLE: 'no queue, stream or topic takes it; declare one',
  CONFLICT: 'what exists at the broker differs from what was asked for; align the options, or delete it',
  UNAUTHENTICATED: 'the broker does not accept these credentials; check them',
  FORBIDDEN: 'the broker does not permit this to these credentials; grant the right',
  TOO_LARGE: 'it is larger than a limit; send less, or a reference to the data',
  INVALID: 'the input is not well-formed; mend the call',
  UNSUPPORTED: 'this transport cannot do that; see its capabilities',
  CLOSED: 'it was closed; emit before close()',
  ABORTED: 'the signal given by the caller fired',
  DEADLINE: 'timeoutMs passed before the broker had it; see health()',
  OVERLOADED: 'the buffer is full; emit less, await emits, or raise buffer',
  SHED: 'it gave way to a higher priority in a full buffer; emit less, or raise buffer',
  CORRUPT: 'the received bytes cannot be decoded; look at the dead letter',
  UNKNOWN: 'the driver could not classify the error; see cause, and report it to the driver',
})

/**
 * The error that a program sees: what an awaited emit rejects with, what `onFailure` hears, what a factory
 * throws for a bad option. Recognise it with {@link isNotifyError}, since a program may hold two copies of
 * this package.
 */
export class NotifyError extends Error {
  override readonly name = 'NotifyError'
  readonly code: ErrorCode
  readonly reason: string | undefined
  readonly retryable: boolean
  readonly maybeSent: boolean
  readonly path: string | undefined
  /** Present where the error ends an emit: what became of it at every driver and topic. */
  readonly receipt: Receipt | undefined

  constructor(failure: Failure, receipt?: Receipt) {
    super(describe(failure), 'cause' in failure ? { cause: failure.cause } : undefined)
    this.code = failure.code
    this.reason = failure.reason
    this.retryable = failure.retryable
    this.maybeSent = failure.maybeSent
    this.path = failure.path
    this.receipt = receipt
    Object.defineProperty(this, BRAND, { value: true })
  }
}

/** Whether a value is a {@link NotifyError}, of this copy of the package or another. */
export function isNotifyError(value: unknown): value is NotifyError {
  try {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true
  } catch {
    // A proxy, say, that answers no question.
    return false
  }
}

function describe(failure: Failure): string {
  const subject = failure.reason === undefined ? failure.code : `${failure.code} (${failure.reason})`
  const where = failure.path === undefined ? '' : ` At ${failure.path}.`
  return `${subject}: ${failure.message ?? `${CODES[failure.code]}.`}${where}`
}

/** All codes. */
export const ERROR_CODES: readonly ErrorCode[] = /* @__PURE__ */ Object.freeze(
  Object.keys(CODES) as ErrorCode[],
)

/**
 * A failure, as plain data: of one message, final, with nothing sent, where `rest` says nothing else. For drivers.
 *
 * @example
 * failure('UNAVAILABLE', 'lost', 'The connection broke.', { retryable: true, maybeSent: true, scope: 'transport' })
 */
export function failure(
  code: ErrorCode,
  reason?: string,
  message?: string,
  rest: Partial<Omit<Failure, 'code' | 'reason' | 'message'>> = {},
): Failure {
  return {
    code,
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
    retryable: false,
    maybeSent: false,
    scope: 'message',
    ...rest,
  }
}

/** The failure of input that is not well-formed. */
export function invalid(reason: string, message: string): Failure {
  return failure('INVALID', reason, message)
}

/**
 * What a driver handed over as a failure, made whole. A driver that rejects with an Error, or settles with
 * half a failure, has broken the contract; the program must not suffer for it.
 */
export function toFailure(value: unknown): Failure {
  try {
    const { code, reason, message, retryable, maybeSent, scope, retryAfterMs, cause } =
      value as Partial<Failure>
    if (typeof code === 'string' && Object.hasOwn(CODES, code)) {
      const complete = typeof retryable === 'boolean' && typeof maybeSent === 'boolean' && isScope(scope)
      if (complete && isText(reason) && isText(message) && isWait(retryAfterMs)) return value as Failure
      return {
        ...failure(code, isText(reason) ? reason : undefined, isText(message) ? message : undefined),
        retryable: retryable === true,
        maybeSent: maybeSent !== false,
        scope: isScope(scope) ? scope : 'message',
        ...(retryAfterMs !== undefined && isWait(retryAfterMs) ? { retryAfterMs } : {}),
        cause,
      }
    }
  } catch {
    // It is nothing that can be read.
  }
  return { ...failure('UNKNOWN'), maybeSent: true, cause: value }
}

function isText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

/** No gate could ever be probed again after a wait that has no end. */
function isWait(value: unknown): value is number | undefined {
  return value === undefined || (typeof value === 'number' && value >= 0 && value < Number.POSITIVE_INFINITY)
}

function isScope(value: unknown): value is Failure['scope'] {
  return value === 'message' || value === 'destination' || value === 'transport'
}
