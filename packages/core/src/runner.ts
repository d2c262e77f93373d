import type { Alarm, Clock } from './clock.ts'
import type { Codec } from './codec.ts'
import { corrupt } from './envelope.ts'
import { type Failure, failure, NotifyError, toFailure } from './errors.ts'
import type { Handler, HandlerContext } from './handlers.ts'
import type { Decoded, Held } from './held.ts'
import { Invocation, Run } from './run.ts'

/** What a listener settles about its handlers when it is made. */
export interface RunnerOptions {
  readonly clock: Clock
  readonly handlers: readonly Handler[]
  readonly codecs: readonly Codec[]
  readonly handlerTimeoutMs: number
  readonly group: string | undefined
  /** Hears when nothing of a delivery is due any more. */
  readonly ended: (held: Held) => void
}

/** Runs the handlers of one delivery after the other, each as often as its attempts allow. */
export class Runner {
  readonly #options: RunnerOptions
  readonly #clock: Clock
  readonly #alarm: Alarm
  #failedInARow = 0

  constructor(options: RunnerOptions, alarm: Alarm) {
    this.#options = options
    this.#clock = options.clock
    this.#alarm = alarm
  }

  /** How many runs of handlers have failed since one succeeded. */
  get failedInARow(): number {
    return this.#failedInARow
  }

  /** Runs what is due, in order. The first time it decodes and matches; what cannot be decoded is returned. */
  start(held: Held): Failure | undefined {
    if (held.runs === undefined) {
      const decoded = this.decode(held)
      if ('code' in decoded) return decoded
      const { envelope } = decoded
      held.fresh = decoded
      held.messageId = envelope.message_id
      held.runs = this.#options.handlers
        .filter(({ matches }) => matches(envelope))
        .map((handler) => new Run(handler))
    }
    held.turn = 0
    this.#advance(held)
    return undefined
  }

  /** Each codec is asked; the first failure is what is told, since the first codec is the one expected. */
  decode({ delivery, session }: Held): Decoded | Failure {
    let first: Failure | undefined
    for (const codec of this.#options.codecs) {
      try {
        const decoded = codec.decode(delivery, session.destination)
        if (typeof decoded.envelope.event_type === 'string') return decoded
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
    held.invocation?.abort(new NotifyError(because))
    held.run?.failed(because, this.#clock)
    this.#failedInARow++
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
    this.#options.ended(held)
  }

  /** Whether the handler goes on by itself. */
  #invoke(held: Held, run: Run): boolean {
    const { entry } = run.handler
    const invocation = new Invocation()
    let result: unknown
    run.attempts++
    try {
      const decoded = held.fresh ?? this.decode(held)
      if ('code' in decoded) throw new NotifyError(decoded)
      if (!run.matched && entry.where !== undefined && !entry.where(decoded.envelope)) {
        // What nobody but a predicate has seen is as good as new.
        held.fresh = decoded
        run.state = 'unmatched'
        return false
      }
      run.matched = true
      held.fresh = undefined
      result = entry.handle(decoded.envelope, this.#context(held, run, invocation, decoded.extra))
      if ((typeof result === 'object' && result !== null) || typeof result === 'function') {
        this.#await(held, run, invocation, Promise.resolve(result))
        return true
      }
    } catch (thrown) {
      held.fresh = undefined
      this.#threw(run, thrown)
      return false
    }
    this.#succeeded(run)
    return false
  }

  #await(held: Held, run: Run, invocation: Invocation, result: Promise<unknown>): void {
    held.run = run
    held.invocation = invocation
    held.dueAt = this.#clock.now() + this.#options.handlerTimeoutMs
    this.#alarm.by(held.dueAt)
    result.then(
      () => {
        if (held.invocation !== invocation) return
        this.#succeeded(run)
        this.#goOn(held)
      },
      (thrown: unknown) => {
        if (held.invocation !== invocation) return
        this.#threw(run, thrown)
        this.#goOn(held)
      },
    )
  }

  #goOn(held: Held): void {
    held.run = undefined
    held.invocation = undefined
    held.dueAt = Number.POSITIVE_INFINITY
    this.#advance(held)
  }

  #context({ delivery, session }: Held, run: Run, invocation: Invocation, extra?: object): HandlerContext {
    const { deliveries, key } = delivery
    const { group } = this.#options
    return {
      ...extra,
      get signal() {
        return invocation.signal
      },
      attempt: run.attempts,
      destination: session.destination,
      // A copy: the dead letter has to have what came.
      headers: { ...delivery.headers },
      ...(deliveries === undefined ? {} : { deliveries }),
      ...(group === undefined ? {} : { group }),
      ...(key === undefined ? {} : { key }),
    }
  }

  #succeeded(run: Run): void {
    run.state = 'done'
    this.#failedInARow = 0
  }

  #threw(run: Run, thrown: unknown): void {
    run.threw(thrown, this.#clock)
    if (run.state !== 'requeue') this.#failedInARow++
  }
}
