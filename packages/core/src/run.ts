import type { Clock } from './clock.ts'
import { controlOf } from './control.ts'
import { type Failure, failure, isNotifyError } from './errors.ts'
import type { Handler } from './handlers.ts'
import type { Verdict } from './letter.ts'
import { backoffMs } from './retry.ts'

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
      return
    }
    if (control?.kind === 'reject') {
      this.giveUp({ ...failure('INVALID', control.reason?.slice(0, 200)), cause: thrown })
      return
    }
    const because = isNotifyError(thrown)
      ? failure(thrown.code, thrown.reason)
      : failure('UNKNOWN', 'handler')
    this.failed({ ...because, cause: thrown }, clock, control?.delayMs)
  }

  /** An attempt has failed: another one after a wait, or none. */
  failed(because: Failure, clock: Clock, delayMs?: number): void {
    const { max, withinMs, ...backoff } = this.handler.attempts
    if (this.attempts >= max) this.giveUp(because)
    else if (delayMs !== undefined) this.dueAt = clock.now() + delayMs
    else if (this.#waitedMs >= withinMs) this.giveUp(because)
    else {
      const wait = Math.min(backoffMs(this.attempts, backoff, clock), withinMs - this.#waitedMs)
      this.#waitedMs += wait
      this.dueAt = clock.now() + wait
    }
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

/** One call of a handler. Its signal is made only if somebody asks for it, since it costs more than the rest. */
export class Invocation {
  #abort: AbortController | undefined
  #reason: unknown

  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#reason !== undefined) this.#abort.abort(this.#reason)
    return this.#abort.signal
  }

  abort(reason: unknown): void {
    this.#reason = reason
    this.#abort?.abort(reason)
  }
}

/** What a dead letter says of the handlers that have failed for good. */
export function verdictOf(failed: readonly Run[]): Verdict {
  const handlers = failed.map(({ handler, failure: because, attempts }) => ({
    index: handler.index,
    ...(handler.event_type === undefined ? {} : { event_type: handler.event_type }),
    code: because?.code ?? 'UNKNOWN',
    ...(because?.reason === undefined ? {} : { reason: because.reason }),
    attempts,
  }))
  const first = failed[0]?.failure
  return {
    code: first?.code ?? 'UNKNOWN',
    ...(first?.reason === undefined ? {} : { reason: first.reason }),
    attempts: Math.max(...failed.map(({ attempts }) => attempts)),
    handlers,
  }
}
