import { checkMs, refuse } from '../options.ts'

/** Recognised by symbol, since the handlers may hold another copy of this package than the listener. */
const CONTROL = Symbol.for('@notify/core.control')

/** A wait that a handler asks for. */
export interface DelayOptions extends ErrorOptions {
  /** How long to wait, in milliseconds. */
  readonly delayMs?: number | undefined
}

/**
 * Thrown by a handler: run me again, after `delayMs` instead of the backoff's own wait. It is an attempt like
 * any other throw, but what it waits does not count against `attempts.withinMs`.
 *
 * @throws NotifyError `INVALID` for a delay that is none.
 */
export class Retry extends Error {
  override readonly name = 'Retry'
  readonly delayMs: number | undefined

  constructor(options: DelayOptions = {}) {
    super('The handler asked for another attempt.', options)
    this.delayMs = checkDelay(options.delayMs)
    mark(this, 'retry')
  }
}

/**
 * Thrown by a handler: this message will never do. It goes to the dead letters at once, with the reason in the
 * dead letter's header `notify-dead`, which others can read.
 */
export class Reject extends Error {
  override readonly name = 'Reject'
  readonly reason: string

  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.reason = reason
    mark(this, 'reject')
  }
}

/**
 * Thrown by a handler: not me, or not now. When every handler of the message has ended, it is given back, for
 * another member of the group or for later, and then all handlers run again. No attempt is counted, but where
 * the broker counts deliveries this is one of them, and `maxDeliveries` bounds them. Where the transport cannot
 * take it back, or cannot wait that long, it waits in this process, at most `maxDeliveries` times, and only the
 * handlers that asked for it run again.
 *
 * @throws NotifyError `INVALID` for a delay that is none.
 */
export class Requeue extends Error {
  override readonly name = 'Requeue'
  readonly delayMs: number | undefined

  constructor(options: DelayOptions = {}) {
    super('The handler gave the message back.', options)
    this.delayMs = checkDelay(options.delayMs)
    mark(this, 'requeue')
  }
}

/** What a thrown value asks for, if it is one of the three. */
export interface Control {
  readonly kind: 'retry' | 'reject' | 'requeue'
  readonly delayMs: number | undefined
  readonly reason: string | undefined
}

/** Reads a thrown value, whatever it is: of this copy of the package, of another, or nobody's. */
export function controlOf(thrown: unknown): Control | undefined {
  try {
    const kind = (thrown as Record<symbol, unknown> | undefined | null)?.[CONTROL]
    if (kind !== 'retry' && kind !== 'reject' && kind !== 'requeue') return undefined
    const { delayMs, reason } = thrown as { delayMs?: unknown; reason?: unknown }
    return {
      kind,
      delayMs:
        typeof delayMs === 'number' && delayMs >= 0 && delayMs < Number.POSITIVE_INFINITY
          ? delayMs
          : undefined,
      reason: typeof reason === 'string' ? reason : undefined,
    }
  } catch {
    // A proxy, say, that answers no question.
    return undefined
  }
}

function checkDelay(delayMs: number | undefined): number | undefined {
  checkMs('delayMs', delayMs, 0)
  if (delayMs === Number.POSITIVE_INFINITY) refuse('delayMs must be finite.')
  return delayMs
}

function mark(error: Error, kind: Control['kind']): void {
  Object.defineProperty(error, CONTROL, { value: kind })
}
