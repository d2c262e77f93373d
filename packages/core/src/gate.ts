import type { Clock } from './clock.ts'
import type { Failure } from './errors.ts'
import { type Backoff, backoffMs, PROBE_MAX_MS } from './retry.ts'

/**
 * Stands before a driver, and before each of its destinations. Open, it lets everything pass. A failure that
 * reaches further than its message shuts it; then one real message at a time is let through to find out, and
 * only what becomes of that one opens it again. An outage so costs one attempt at a time, however much waits.
 */
export class Gate {
  /** Why it is shut. */
  failure: Failure | undefined
  /** When the next probe may go, in the clock's milliseconds. */
  due = 0
  /** The call that is finding out. */
  probe: object | undefined
  #failures = 0

  get shut(): boolean {
    return this.failure !== undefined
  }

  /** Shut, with no probe on its way, and it is time for one. */
  ready(now: number): boolean {
    return this.probe === undefined && now >= this.due
  }

  /** Shuts it. While shut, only a probe's own failure says when the next one may go. */
  close(failure: Failure, backoff: Backoff, clock: Clock): void {
    if (this.shut) {
      // An old failure that arrives late says nothing new, unless it is one that waiting cannot cure.
      if (!failure.retryable) this.failure = failure
      return
    }
    this.#wait(failure, backoff, clock)
  }

  /** The probe failed as widely as the gate reaches. */
  stay(failure: Failure, backoff: Backoff, clock: Clock): void {
    this.probe = undefined
    this.#wait(failure, backoff, clock)
  }

  /** The probe ended without saying anything about this gate. */
  retry(now: number): void {
    this.probe = undefined
    this.due = now
  }

  open(): void {
    this.failure = undefined
    this.probe = undefined
    this.#failures = 0
  }

  #wait(failure: Failure, { minMs, maxMs }: Backoff, clock: Clock): void {
    this.#failures++
    this.failure = failure
    const backoff = { minMs, maxMs: Math.min(maxMs, PROBE_MAX_MS) }
    this.due = clock.now() + backoffMs(this.#failures, backoff, clock, failure.retryAfterMs)
  }
}
