import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import type { Failure } from '@notify/core'

/**
 * How much later than they should timers fire here, at the moment: a bound on a driver must not become a bound on
 * the machine.
 */
class Lag {
  #worst = 0
  #due: number
  readonly #timer: NodeJS.Timeout

  constructor() {
    this.#due = performance.now() + STEP_MS
    this.#timer = setInterval(() => {
      const now = performance.now()
      this.#worst += Math.max(0, now - this.#due - SLACK_MS)
      this.#due = now + STEP_MS
    }, STEP_MS)
  }

  /** All that was lost so far. */
  get ms(): number {
    return this.#worst
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

const STEP_MS = 5
const SLACK_MS = 2
const LATE: unique symbol = Symbol('late')

/**
 * What `work` comes to, or `undefined` after `ms`, not counting the time that the machine did not give this process.
 * The work itself is not stopped.
 */
export async function atMost<T>(ms: number, work: Promise<T>): Promise<{ readonly value: T } | undefined> {
  const lag = new Lag()
  const start = performance.now()
  let over = false
  const clock = (async (): Promise<typeof LATE> => {
    for (;;) {
      const left = start + ms + lag.ms - performance.now()
      if (over || left <= 0) break
      await sleep(Math.min(left, 50))
    }
    // What is due is let run before it is called late.
    await turn()
    await turn()
    return LATE
  })()
  try {
    const value = await Promise.race([work, clock])
    return value === LATE ? undefined : { value }
  } finally {
    over = true
    lag.stop()
  }
}

/** Looks again and again, until it is so or the time is over. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  ms: number,
  signal?: AbortSignal,
): Promise<boolean> {
  let pause = 1
  const end = performance.now() + ms
  for (;;) {
    if (await condition()) return true
    if (performance.now() >= end || signal?.aborted === true) return false
    await sleep(pause)
    pause = Math.min(pause * 2, 20)
  }
}

/** A signal that fires after so long, with the reason that core gives: a Failure. It keeps no process alive. */
export function firesAfter(ms: number): AbortSignal {
  const controller = new AbortController()
  setTimeout(() => controller.abort(DEADLINE), ms).unref()
  return controller.signal
}

/** What a call's signal fires with when its time is over. */
export const DEADLINE: Failure = Object.freeze({
  code: 'DEADLINE',
  reason: 'attempt-timeout',
  retryable: false,
  maybeSent: false,
  scope: 'message',
})
