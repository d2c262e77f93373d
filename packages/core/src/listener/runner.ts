import { type Alarm, type Clock, NEVER } from '../clock.ts'
import type { Codec } from '../codec.ts'
import { corrupt } from '../envelope.ts'
import { type Failure, failure, NotifyError, toFailure } from '../errors.ts'
import type { Handler } from './handlers.ts'
import type { Decoded, Held } from './held.ts'
import { Context, Run } from './run.ts'

/** What a listener settles about its handlers when it is made. */
export interface RunnerOptions {
  readonly clock: Clock
  readonly handlers: readonly Handler[]
  readonly codecs: readonly Codec[]
  readonly handlerTimeoutMs: number
  readonly group: string | undefined
}

/** Runs the handlers of one delivery after the other, each as often as its attempts allow. */
export class Runner {
  readonly #options: RunnerOptions
  readonly #clock: Clock
  readonly #alarm: Alarm
  readonly #turnEnded: (held: Held) => void
  /** How many runs of handlers have failed since one succeeded. */
  failedInARow = 0

  /** @param turnEnded hears when nothing of a delivery is due any more. */
  constructor(options: RunnerOptions, alarm: Alarm, turnEnded: (held: Held) => void) {
    this.#options = options
    this.#turnEnded = turnEnded
    this.#clock = options.clock
    this.#alarm = alarm
  }

  /** Runs what is due, in order. The first time it decodes and matches; what cannot be decoded is returned. */
  start(held: Held): Failure | undefined {
    if (held.runs === undefined) {
      const decoded = this.decode(held)
      if ('code' in decoded) return decoded
      const { envelope } = decoded
      held.fresh = decoded
      held.runs = this.#options.handlers
        .filter(({ matches }) => matches(envelope))
        .map((handler) => new Run(handler))
    }
    held.turn = 0
    this.#advance(held)
    return undefined
  }

  /** Each codec is asked; the first failure is what is told, since the first codec is the one expected. */
  decode(held: Held): Decoded | Failure {
    let first: Failure | undefined
    for (const codec of this.#options.codecs) {
      try {
        const decoded = codec.decode(held.delivery, held.session.destination)
        const { event_type, message_id } = decoded.envelope
        held.messageId = message_id
        held.eventType = event_type
        if (typeof event_type === 'string') return decoded
      } catch (thrown) {
        const because = toFailure(thrown)
        first ??= because.code === 'CORRUPT' ? because : corrupt('codec', 'The codec failed.', thrown)
      }
    }
    return first ?? corrupt('codec', 'No codec knows the message.')
  }

  /** The handler is not waited for any longer. Whatever it does later is ignored. */
  timeOut(held: Held): void {
    const { handlerTimeoutMs } = this.#options
    const because = failure(
      'DEADLINE',
      'handler-timeout',
      `The handler did not end within ${handlerTimeoutMs} ms.`,
    )
    if (held.context !== undefined) Context.abort(held.context, new NotifyError(because))
    held.run?.failed(because, this.#clock)
    this.failedInARow++
    this.#goOn(held)
  }

  /** Runs the handlers that are due, in order, until one of them takes its time. */
  #advance(held: Held): void {
    const runs = held.runs as Run[]
    const now = this.#clock.now()
    while (held.turn < runs.length && !held.over) {
      const run = runs[held.turn++] as Run
      if (run.state === 'due' && run.dueAt <= now && this.#invoke(held, run)) return
    }
    this.#turnEnded(held)
  }

  /** Whether the handler goes on by itself. */
  #invoke(held: Held, run: Run): boolean {
    const { entry } = run.handler
    let result: unknown
    run.attempts++
    try {
      const decoded = held.fresh ?? this.decode(held)
      if ('code' in decoded) throw new NotifyError(decoded)
      const { envelope, extra } = decoded
      if (!run.matched && entry.where !== undefined && !entry.where(envelope)) {
        run.state = 'unmatched'
        return false
      }
      run.matched = true
      held.fresh = undefined
      const context = new Context(
        run.attempts,
        held.session.destination,
        held.delivery,
        this.#options.group,
        extra,
      )
      result = entry.handle(envelope, context)
      if ((typeof result === 'object' && result !== null) || typeof result === 'function') {
        void this.#await(held, run, context, result)
        return true
      }
    } catch (thrown) {
      held.fresh = undefined
      this.#ended(run, true, thrown)
      return false
    }
    this.#ended(run, false)
    return false
  }

  async #await(held: Held, run: Run, context: Context, result: unknown): Promise<void> {
    held.run = run
    held.context = context
    held.dueAt = this.#clock.now() + this.#options.handlerTimeoutMs
    this.#alarm.by(held.dueAt)
    let thrown: unknown
    let failed = false
    try {
      await result
    } catch (error) {
      thrown = error
      failed = true
    }
    if (held.context !== context) return
    this.#ended(run, failed, thrown)
    this.#goOn(held)
  }

  #goOn(held: Held): void {
    held.context = undefined
    held.dueAt = NEVER
    this.#advance(held)
  }

  #ended(run: Run, failed: boolean, thrown?: unknown): void {
    if (failed) {
      run.threw(thrown, this.#clock)
      if (run.state !== 'requeue') this.failedInARow++
    } else {
      run.state = 'done'
      this.failedInARow = 0
    }
  }
}
