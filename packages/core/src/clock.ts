/**
 * Time and chance, passed in, so that tests can drive both. Nothing else in core reads a clock, sets a timer
 * or draws a random number.
 */
export interface Clock {
  /** Monotonic milliseconds. Deadlines and backoff are measured with it, so that a wall clock may jump. */
  now(): number
  /** Milliseconds since 1970, for timestamps. */
  wall(): number
  /** Uniform in [0, 1). */
  random(): number
  /** Runs `task` once, after `ms` milliseconds. Keeps the process alive until then. */
  setTimer(task: () => void, ms: number): unknown
  clearTimer(timer: unknown): void
  /** Runs `task` after pending input and output had a chance. */
  defer(task: () => void): void
}

/** The host's own clock. Looks its functions up at each call, so that a test's fake timers are seen. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  random: () => Math.random(),
  setTimer: (task, ms) => setTimeout(task, ms),
  clearTimer: (timer) => clearTimeout(timer as ReturnType<typeof setTimeout>),
  defer(task) {
    if (typeof setImmediate === 'function') setImmediate(task)
    else setTimeout(task, 0)
  },
}

/** A time that does not come. */
export const NEVER: number = Number.POSITIVE_INFINITY

/** The longest that a host's timer can wait; one set for longer fires at once. */
const LONGEST_MS = 2 ** 31 - 1

/**
 * One timer that is only ever moved forward. Whoever owns it works out at each ring what is due and asks for
 * the next one, which is far cheaper than a timer for each message.
 */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #timer: unknown
  #at = Number.POSITIVE_INFINITY

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings at `time` of the clock, or earlier if it was already asked to. */
  by(time: number): void {
    if (time >= this.#at) return
    this.clear()
    this.#at = time
    // Rounded up: a timer that fires a fraction early would find nothing due, and be set again for 0 ms.
    const ms = Math.min(Math.max(0, Math.ceil(time - this.#clock.now())), LONGEST_MS)
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = undefined
      this.#at = Number.POSITIVE_INFINITY
      this.#ring()
    }, ms)
  }

  clear(): void {
    if (this.#timer === undefined) return
    this.#clock.clearTimer(this.#timer)
    this.#timer = undefined
    this.#at = Number.POSITIVE_INFINITY
  }
}

/** UTC, ISO 8601, milliseconds: what a timestamp looks like everywhere. */
export function timestamp(wall: number): string {
  return new Date(wall).toISOString()
}

/** A clock that can be stopped: that of attempts, while a broker asks for silence. */
export class Stopwatch {
  readonly #clock: Clock
  #stoppedAt: number | undefined
  #stoppedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get stopped(): boolean {
    return this.#stoppedAt !== undefined
  }

  now(): number {
    return (this.#stoppedAt ?? this.#clock.now()) - this.#stoppedMs
  }

  stop(): void {
    this.#stoppedAt ??= this.#clock.now()
  }

  go(): void {
    if (this.#stoppedAt === undefined) return
    this.#stoppedMs += this.#clock.now() - this.#stoppedAt
    this.#stoppedAt = undefined
  }
}
