import { Alarm, type Clock } from '../clock.ts'
import type { CallOptions, Delivery, Driver, Source, Subscription } from '../driver.ts'
import { type Failure, failure, toFailure } from '../errors.ts'
import { type Backoff, backoffMs, PROBE_MAX_MS } from '../retry.ts'
import type { Dispatch } from './dispatch.ts'
import type { Held, Session } from './held.ts'
import type { Queue } from './lanes.ts'

/** How long a driver may take to subscribe. */
const SUBSCRIBE_MS = 30_000

/** It ended by itself and gave no reason. */
const ENDED: Failure = { ...failure('UNAVAILABLE', 'ended'), retryable: true, scope: 'destination' }

/** What a listener settles about the consuming of one destination. */
export interface IntakeOptions {
  readonly driver: Driver
  readonly clock: Clock
  readonly source: Source
  readonly prefetch: number
  readonly from: 'new' | 'earliest' | undefined
  readonly backoff: Backoff
  readonly dispatch: Dispatch
  readonly queue: Queue<Held>
  /** Hears each time that a subscription is open. */
  readonly opened: (intake: Intake) => void
  /** Hears each time that one could not be had, or ended. */
  readonly failed: (intake: Intake, failure: Failure) => void
}

/** Consumes one destination: keeps one subscription open, and opens another one whenever it ends. */
export class Intake {
  readonly source: Source
  readonly #options: IntakeOptions
  readonly #clock: Clock
  readonly #alarm: Alarm
  /** Of the subscription that is open, or being opened. Absent while waiting. */
  #session: Session | undefined
  #subscription: Subscription | undefined
  #abort = new AbortController()
  #opening: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  #halted = false
  #failures = 0
  #triedAt = 0
  /** Why it is not open. */
  failure: Failure | undefined

  constructor(options: IntakeOptions) {
    this.source = options.source
    this.#options = options
    this.#clock = options.clock
    this.#alarm = new Alarm(options.clock, () => this.#ring())
  }

  /** Whether deliveries can come. */
  get open(): boolean {
    return this.#subscription !== undefined
  }

  /** Subscribes, until it is open. */
  subscribe(): void {
    const { driver, prefetch, from, source, dispatch, queue } = this.#options
    const session: Session = { destination: source.destination, queue, over: false }
    const abort = new AbortController()
    this.#session = session
    this.#abort = abort
    this.#triedAt = this.#clock.now()
    this.#alarm.by(this.#triedAt + SUBSCRIBE_MS)
    const options = {
      timeoutMs: SUBSCRIBE_MS,
      signal: abort.signal,
      prefetch,
      ...(from === undefined ? {} : { from }),
    }
    const receive = (delivery: Delivery) => dispatch.receive(delivery, session)
    const subscribing = new Promise<Subscription | undefined>((resolve) =>
      resolve(driver.subscribe?.(source, receive, options)),
    )
    this.#opening = subscribing.then(
      (subscription) => this.#opened(session, subscription),
      (error: unknown) => this.#ended(session, toFailure(error)),
    )
  }

  /** The driver says that the trouble is over: no need to wait. Not at once, lest two that disagree race. */
  hurry(): void {
    if (this.#session === undefined && !this.#halted)
      this.#alarm.by(this.#triedAt + this.#options.backoff.minMs)
  }

  /** Opens no more subscriptions. */
  halt(): void {
    this.#halted = true
    this.#alarm.clear()
    if (!this.open) this.#abort.abort(failure('CLOSED'))
  }

  /** Resolves when no delivery comes any more. Never rejects. */
  async pause(): Promise<void> {
    try {
      await this.#subscription?.pause()
    } catch {
      // It is closed next.
    }
  }

  /** Resolves when no consumer is left. Never rejects. After {@link halt}. */
  close(options: CallOptions): Promise<void> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  /** Takes nothing any more, whatever the driver does. */
  end(): void {
    if (this.#session !== undefined) this.#session.over = true
  }

  async #close(options: CallOptions): Promise<void> {
    await this.#opening
    await closeQuietly(this.#subscription, options)
    this.#subscription = undefined
  }

  async #opened(session: Session, subscription: Subscription | undefined): Promise<void> {
    if (typeof subscription?.close !== 'function') {
      this.#ended(
        session,
        failure('UNKNOWN', 'subscription', 'The driver resolved subscribe() with no subscription.'),
      )
      return
    }
    if (session.over || this.#halted) {
      // It took too long, and nobody wants it any longer.
      session.over = true
      await closeQuietly(subscription, { timeoutMs: 1, signal: AbortSignal.abort(failure('CLOSED')) })
      return
    }
    this.#alarm.clear()
    this.#subscription = subscription
    this.#triedAt = this.#clock.now()
    this.failure = undefined
    new Promise<Failure | undefined>((resolve) => resolve(subscription.ended)).then(
      (because) => this.#ended(session, because),
      (error: unknown) => this.#ended(session, toFailure(error)),
    )
    this.#options.opened(this)
  }

  /** There is no subscription, or none any more. */
  #ended(session: Session, because: Failure | undefined): void {
    if (session.over || (because === undefined && this.#closing !== undefined)) return
    const { backoff, dispatch, failed } = this.#options
    const reason = because === undefined ? ENDED : toFailure(because)
    this.#subscription = undefined
    this.#session = undefined
    this.failure = reason
    dispatch.lose(session)
    if (this.#halted) return
    const now = this.#clock.now()
    // One that held for a while was no failure. One that ends as soon as it is open must not come back at once.
    if (now - this.#triedAt >= backoff.maxMs) this.#failures = 0
    const maxMs = reason.retryable ? Math.min(backoff.maxMs, PROBE_MAX_MS) : backoff.maxMs
    const waitMs = backoffMs(
      ++this.#failures,
      { minMs: backoff.minMs, maxMs },
      this.#clock,
      reason.retryAfterMs,
    )
    this.#alarm.clear()
    this.#alarm.by(now + waitMs)
    failed(this, reason)
  }

  #ring(): void {
    const session = this.#session
    if (session === undefined) {
      this.subscribe()
      return
    }
    const silence = failure(
      'UNAVAILABLE',
      'subscribe-timeout',
      `subscribe() took longer than ${SUBSCRIBE_MS} ms.`,
    )
    this.#abort.abort({ ...failure('DEADLINE'), maybeSent: true })
    this.#ended(session, { ...silence, retryable: true, scope: 'destination' })
  }
}

async function closeQuietly(subscription: Subscription | undefined, options: CallOptions): Promise<void> {
  try {
    await subscription?.close(options)
  } catch {
    // Its deliveries come back all the same, when the driver is closed at the latest.
  }
}
