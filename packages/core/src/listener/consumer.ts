import type { Clock } from '../clock.ts'
import type { Codec } from '../codec.ts'
import type { CallOptions, Destination, Driver, Health, Status } from '../driver.ts'
import { type ErrorCode, type Failure, failure, NotifyError } from '../errors.ts'
import { askHealth } from '../health.ts'
import { release } from '../holders.ts'
import { callHook, Digest, type Hooks, StatusTeller, watch } from '../observe.ts'
import { durationOr } from '../options.ts'
import type { Backoff } from '../retry.ts'
import { within } from '../within.ts'
import { DeadLetters } from './deadletter.ts'
import { Dispatch } from './dispatch.ts'
import type { Handler } from './handlers.ts'
import type { Held } from './held.ts'
import { Intake } from './intake.ts'
import type { Queue } from './lanes.ts'
import type { Listener, ListenerStats } from './listener.ts'

/** With these, `start` gives up: somebody has to change something first. */
const FATAL: readonly ErrorCode[] = [
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'UNROUTABLE',
  'CONFLICT',
  'INVALID',
  'CLOSED',
]
/** How long the subscriptions, and then the driver, may take to close when nothing is left of the time given. */
const GRACE_MS = 100
/** How long handlers may take that run already when `start` fails. */
const ABANDON_MS = 5_000
/** So many failed runs with no success in between are worth a warning. */
const FAILURES_TO_MENTION = 10

/** The options of a listener, checked and complete. */
export interface Settings extends Hooks {
  readonly driver: Driver
  readonly destinations: readonly Destination[]
  readonly group: string | undefined
  readonly handlers: readonly Handler[]
  readonly codecs: readonly Codec[]
  readonly concurrency: number
  readonly prefetch: number
  readonly maxDeliveries: number
  readonly handlerTimeoutMs: number
  readonly deadLetters: boolean
  readonly from: 'new' | 'earliest' | undefined
  readonly backoff: Backoff
  readonly clock: Clock
}

/** The beginning and the end of consuming, and what is told in between. */
export class Consumer implements Listener {
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #teller: StatusTeller
  readonly #digest: Digest
  readonly #letters: DeadLetters | undefined
  readonly #dispatch: Dispatch
  readonly #queues: ReadonlyMap<Destination, Queue<Held>>
  #intakes: readonly Intake[] = []
  /** Destinations of which it was said that they are down. */
  readonly #down = new Set<Destination>()
  #starting: Promise<void> | undefined
  /** While `start` waits. */
  #start: { readonly intakes: Set<Intake>; resolve(): void; reject(error: NotifyError): void } | undefined
  #stopping: Promise<ListenerStats> | undefined
  #unobserve: (() => void) | undefined

  constructor(settings: Settings) {
    const { driver, clock, group, backoff, destinations, onStatus } = settings
    this.#settings = settings
    this.#clock = clock
    this.#teller = new StatusTeller(driver, onStatus, clock)
    this.#digest = new Digest(clock)
    this.#letters = settings.deadLetters
      ? new DeadLetters(driver, group, backoff, this.#teller, clock)
      : undefined
    this.#dispatch = new Dispatch({
      ...settings,
      deadLetters: this.#letters,
      tell: (because) => this.#tell(because),
    })
    this.#queues = new Map(
      destinations.map((destination) => [destination, this.#dispatch.queue(destination)]),
    )
  }

  start(): Promise<void> {
    if (this.#stopping !== undefined) return handled(Promise.reject(new NotifyError(failure('CLOSED'))))
    this.#starting ??= handled(
      new Promise<void>((resolve, reject) => {
        this.#intakes = this.#settings.destinations.map((destination) => this.#intake(destination))
        this.#start = { intakes: new Set(this.#intakes), resolve, reject }
        this.#letters?.open()
        this.#dispatch.resume()
        this.#observe()
        for (const intake of this.#intakes) intake.subscribe()
      }),
    )
    return this.#starting
  }

  stop({ timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<ListenerStats> {
    this.#stopping ??= this.#stop(this.#clock.now() + durationOr(30_000, 'stop', timeoutMs))
    return this.#stopping
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  stats(): ListenerStats {
    return this.#dispatch.stats()
  }

  async health({ timeoutMs }: { readonly timeoutMs?: number } = {}): Promise<Health> {
    if (this.#stopping !== undefined) return { ok: false, warnings: [], failure: failure('CLOSED') }
    const answer = await askHealth(this.#settings.driver, this.#clock, durationOr(5_000, 'health', timeoutMs))
    const closed = this.#intakes.filter(({ open }) => !open)
    const because = answer.failure ?? closed[0]?.failure
    return {
      ok: answer.ok && closed.length === 0,
      warnings: [...answer.warnings, ...this.#warnings(closed)],
      ...(because === undefined ? {} : { failure: because }),
    }
  }

  #warnings(closed: readonly Intake[]): string[] {
    const warnings = closed.map(({ source, failure: because }) => {
      const why = because === undefined ? '' : `: ${because.code} ${because.message ?? because.reason ?? ''}`
      return `${source.destination.name} is not consumed${why}`.trimEnd()
    })
    const { failedInARow } = this.#dispatch
    if (failedInARow >= FAILURES_TO_MENTION) {
      warnings.push(
        `the last ${failedInARow} runs of handlers failed, and their messages go to the dead letters`,
      )
    }
    if (this.#letters !== undefined) warnings.push(...this.#letters.warnings())
    return warnings
  }

  #intake(destination: Destination): Intake {
    const { group } = this.#settings
    return new Intake({
      ...this.#settings,
      source: group === undefined ? { destination } : { destination, group },
      dispatch: this.#dispatch,
      queue: this.#queues.get(destination) as Queue<Held>,
      opened: (intake) => this.#opened(intake),
      failed: (intake, because) => this.#failed(intake, because),
    })
  }

  #opened(intake: Intake): void {
    const { destination } = intake.source
    this.#teller.tell({ state: 'up' })
    if (this.#down.delete(destination)) this.#teller.tell({ state: 'up' }, destination)
    const start = this.#start
    start?.intakes.delete(intake)
    if (start === undefined || start.intakes.size > 0) return
    this.#start = undefined
    start.resolve()
  }

  #failed(intake: Intake, because: Failure): void {
    const { destination } = intake.source
    const status: Status = { state: 'down', failure: because }
    if (because.scope === 'transport') this.#teller.tell(status)
    else {
      this.#down.add(destination)
      this.#teller.tell(status, destination)
    }
    const start = this.#start
    if (start === undefined || !FATAL.includes(because.code)) return
    this.#start = undefined
    void this.#abandon(because).then(() => start.reject(new NotifyError(because)))
  }

  /** `start` has failed. It may be called again. */
  async #abandon(because: Failure): Promise<void> {
    await this.#drain(this.#clock.now() + ABANDON_MS, because)
    if (this.#stopping === undefined) this.#starting = undefined
  }

  async #stop(deadline: number): Promise<ListenerStats> {
    const closed = failure('CLOSED')
    this.#start?.reject(new NotifyError(closed))
    this.#start = undefined
    await this.#drain(deadline, closed)
    const { driver } = this.#settings
    await this.#bounded(deadline + GRACE_MS, GRACE_MS, (options) => release(driver, options))
    this.#clock.defer(() => this.#digest.end())
    return this.stats()
  }

  async #drain(deadline: number, reason: Failure): Promise<void> {
    const intakes = this.#intakes
    for (const intake of intakes) intake.halt()
    this.#dispatch.halt()
    await this.#bounded(deadline, 0, () => Promise.all(intakes.map((intake) => intake.pause())))
    this.#dispatch.handBack()
    await this.#bounded(deadline, 0, () => this.#dispatch.idle())
    this.#dispatch.abort(reason)
    await this.#bounded(deadline, GRACE_MS, (options) =>
      Promise.all(intakes.map((intake) => intake.close(options))),
    )
    for (const intake of intakes) intake.end()
    this.#dispatch.finish(reason)
    this.#unobserve?.()
    this.#unobserve = undefined
  }

  /** Waits for a driver that may never answer until the deadline, and `graceMs` more, when its signal fires. */
  async #bounded(
    deadline: number,
    graceMs: number,
    call: (options: CallOptions) => Promise<unknown>,
  ): Promise<void> {
    const timeoutMs = Math.max(0, deadline - this.#clock.now())
    try {
      await within(this.#clock, timeoutMs + graceMs, (signal) => call({ timeoutMs, signal }), undefined)
    } catch {
      // A driver that fails to close has nothing more to say that would help.
    }
  }

  #observe(): void {
    this.#unobserve = watch(this.#settings.driver, (status) => {
      if (status.state === 'up') for (const intake of this.#intakes) intake.hurry()
      this.#teller.tell(status)
    })
  }

  /** From a macrotask of its own: a hook may do what it likes. */
  #tell(because: Failure): void {
    this.#clock.defer(() => {
      const error = new NotifyError(because)
      const { onFailure } = this.#settings
      if (onFailure !== undefined) callHook('onFailure', onFailure, error)
      else this.#digest.tell(error)
    })
  }
}

/** Whoever awaits it hears of a rejection. Who does not must not be ended by it: `onStatus` has told. */
function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}
