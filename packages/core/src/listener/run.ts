import type { Clock } from '../clock.ts'
import type { Delivery, Destination } from '../driver.ts'
import { type Failure, failure, isNotifyError, type NotifyError } from '../errors.ts'
import { backoffMs } from '../retry.ts'
import { controlOf } from './control.ts'
import type { Handler, HandlerContext } from './handlers.ts'
import type { Verdict } from './letter.ts'

/** One handler's way with one message: how often it was run, and how it stands. */
export class Run {
  readonly handler: Handler
  /** `due`: at `dueAt`. What it ends in: `done`, `failed` for good, `requeue`, or `unmatched` by its `where`. */
  state: 'due' | 'done' | 'failed' | 'requeue' | 'unmatched' = 'due'
  dueAt = 0
  attempts = 0
  /** `where` has said yes. */
  matched = false
  failure: Failure | undefined
  /** What `Requeue` asked for. */
  delayMs = 0
  #waitedMs = 0

  constructor(handler: Handler) {
    this.handler = handler
  }

  /** The handler has thrown: what follows from it. */
  threw(thrown: unknown, clock: Clock): void {
    const control = controlOf(thrown)
    if (control?.kind === 'requeue') {
      this.attempts--
      this.state = 'requeue'
      this.delayMs = control.delayMs ?? 0
    } else if (control?.kind === 'reject') {
      this.giveUp({ ...failure('INVALID', control.reason?.slice(0, 200)), cause: thrown })
    } else {
      const because = isNotifyError(thrown)
        ? failure(thrown.code, thrown.reason)
        : failure('UNKNOWN', 'handler')
      this.failed({ ...because, cause: thrown }, clock, control?.delayMs)
    }
  }

  /** An attempt has failed: another one after a wait, or none. */
  failed(because: Failure, clock: Clock, delayMs?: number): void {
    const { max, withinMs, ...backoff } = this.handler.attempts
    const leftMs = withinMs - this.#waitedMs
    if (this.attempts >= max || (delayMs === undefined && leftMs <= 0)) {
      this.giveUp(because)
      return
    }
    const waitMs = delayMs ?? Math.min(backoffMs(this.attempts, backoff, clock), leftMs)
    if (delayMs === undefined) this.#waitedMs += waitMs
    this.dueAt = clock.now() + waitMs
  }

  giveUp(because: Failure): void {
    this.state = 'failed'
    this.failure = because
  }

  /** After a `Requeue` that has waited here. */
  again(): void {
    this.state = 'due'
    this.dueAt = 0
  }
}

/** One run's context. Its signal is made only if somebody asks for it, since it costs more than the rest. */
export class Context implements HandlerContext {
  readonly attempt: number
  readonly destination: Destination
  readonly headers: Readonly<Record<string, string>>
  declare readonly deliveries?: number
  declare readonly group?: string
  declare readonly key?: string
  #abort: AbortController | undefined
  #reason: NotifyError | undefined

  constructor(
    attempt: number,
    destination: Destination,
    delivery: Delivery,
    group: string | undefined,
    extra: object = {},
  ) {
    const { deliveries, headers, key } = delivery
    this.attempt = attempt
    this.destination = destination
    // A copy: the dead letter has to have what came.
    this.headers = { ...headers }
    if (deliveries !== undefined) this.deliveries = deliveries
    if (group !== undefined) this.group = group
    if (key !== undefined) this.key = key
    for (const [name, value] of Object.entries(extra)) {
      if (!(name in this)) Object.defineProperty(this, name, { value, enumerable: true })
    }
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#reason !== undefined) this.#abort.abort(this.#reason)
    return this.#abort.signal
  }

  /** Not a method: it is not for handlers. */
  static abort(context: Context, reason: NotifyError): void {
    context.#reason = reason
    context.#abort?.abort(reason)
  }
}

/** What a dead letter says of the handlers that have failed for good. */
export function verdictOf(failed: readonly Run[]): Verdict {
  const handlers = failed.map(({ handler: { index, event_type }, failure: because, attempts }) => {
    const { code, reason } = because as Failure
    return { index, event_type, code, reason, attempts }
  })
  const [{ code, reason }] = handlers as [(typeof handlers)[0]]
  return { code, reason, attempts: Math.max(...handlers.map(({ attempts }) => attempts)), handlers }
}
