import type { Clock } from '../../src/clock.ts'

// Taken before any test can replace it.
const macrotask = globalThis.setImmediate

/** What a host's timer does with a wait longer than it can hold: it fires at once. */
const LONGEST_MS = 2 ** 31 - 1

interface Timer {
  readonly at: number
  readonly order: number
  readonly task: () => void
}

/**
 * Time that stands still until a test moves it, and chance that is the same for the same seed.
 *
 * `now()` begins at 0, `wall()` at 2026-11-22T00:00:00Z.
 */
export class FakeClock implements Clock {
  readonly #timers = new Map<number, Timer>()
  #deferred: (() => void)[] = []
  #now = 0
  #wall: number = Date.UTC(2026, 10, 22)
  #order = 0
  #state: number

  constructor(seed = 1) {
    this.#state = seed
  }

  now(): number {
    return this.#now
  }

  wall(): number {
    return this.#wall + this.#now
  }

  /** Mulberry32. */
  random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  setTimer(task: () => void, ms: number): unknown {
    const order = ++this.#order
    this.#timers.set(order, { at: this.#now + (ms > LONGEST_MS ? 1 : Math.max(0, ms)), order, task })
    return order
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as number)
  }

  defer(task: () => void): void {
    this.#deferred.push(task)
  }

  /** How many timers are set. 0 is what lets a process end by itself. */
  get timers(): number {
    return this.#timers.size
  }

  /** How many deferred tasks wait for {@link settle}. */
  get deferred(): number {
    return this.#deferred.length
  }

  /** Lets all microtasks run that are due or become due, and nothing else. */
  async microtasks(): Promise<void> {
    await new Promise<void>((resolve) => macrotask(resolve))
  }

  /** Lets microtasks and deferred tasks run until there are none. Time stands still. */
  async settle(): Promise<void> {
    await this.microtasks()
    for (let rounds = 0; this.#deferred.length > 0; rounds++) {
      if (rounds === 100_000) throw new Error('deferred tasks beget deferred tasks without end')
      this.runDeferred()
      await this.microtasks()
    }
  }

  /** Runs the deferred tasks that wait now; those that they beget wait for the next call. */
  runDeferred(): void {
    const due = this.#deferred
    this.#deferred = []
    for (const task of due) task()
  }

  /** Moves time on by `ms`, running each timer at its moment, in order, with all that follows from it. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms
    await this.settle()
    for (let next = this.#next(until); next !== undefined; next = this.#next(until)) {
      this.#now = Math.max(this.#now, next.at)
      this.#timers.delete(next.order)
      next.task()
      await this.settle()
    }
    this.#now = until
  }

  /** Moves the clock as work that blocks the thread does: no timer runs in between. */
  block(ms: number): void {
    this.#now += ms
  }

  /** Sets the wall clock forward or back. Nothing that is measured may notice. */
  jump(ms: number): void {
    this.#wall += ms
  }

  #next(until: number): Timer | undefined {
    let first: Timer | undefined
    for (const timer of this.#timers.values()) {
      if (timer.at > until) continue
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    }
    return first
  }
}
