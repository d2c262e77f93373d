import type { CallOptions, Failure } from '@notify/core'
import { timedOut } from './classify.ts'

/** How often a clock that stands is looked at. */
const LOOK_MS = 100

/** In milliseconds. While it stands, nobody's time runs out. */
interface Clock {
  readonly stands: boolean
  now(): number
}

const REAL: Clock = { stands: false, now: () => performance.now() }

/** A clock that can be stopped. */
export class Stopwatch implements Clock {
  #stoodMs = 0
  #since: number | undefined

  get stands(): boolean {
    return this.#since !== undefined
  }

  now(): number {
    return (this.#since ?? performance.now()) - this.#stoodMs
  }

  stop(): void {
    this.#since ??= performance.now()
  }

  go(): void {
    if (this.#since === undefined) return
    this.#stoodMs += performance.now() - this.#since
    this.#since = undefined
  }
}

/** How a step is bounded: as a call is, by its own clock. */
export interface Limits extends CallOptions {
  readonly clock?: Clock
}

/**
 * What `work` comes to, or a {@link Failure} as soon as its time is over or the signal fires: amqplib waits for
 * ever. What was started goes on; `late` gets what it came to, to put it away.
 */
export function bounded<T>(
  what: string,
  work: Promise<T>,
  { timeoutMs, signal, clock = REAL }: Limits,
  late?: (result: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const end = clock.now() + timeoutMs
    let timer: NodeJS.Timeout | undefined
    let over = false
    const finish = (): boolean => {
      if (over) return false
      over = true
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
      return true
    }
    const onAbort = (): void => {
      if (finish()) reject(aborted(signal))
    }
    const arm = (): void => {
      const left = end - clock.now()
      // The longest that a timer can wait.
      timer = setTimeout(onTime, Math.min(clock.stands ? Math.max(left, LOOK_MS) : left, 2 ** 31 - 1))
    }
    const onTime = (): void => {
      if (clock.now() < end) arm()
      else if (finish()) reject(timedOut(what))
    }
    arm()
    signal.addEventListener('abort', onAbort)
    work.then(
      (result) => {
        if (finish()) resolve(result)
        else late?.(result)
      },
      (error: unknown) => {
        if (finish()) reject(error)
      },
    )
    if (signal.aborted) onAbort()
  })
}

/** Why a call was told to stop. */
export function aborted(signal: AbortSignal, maybeSent = false): Failure {
  return { ...(signal.reason as Failure), maybeSent }
}

/** What is left of a call's time, for the next of several steps. */
export function deadline({ timeoutMs, signal, clock = REAL }: Limits): Limits {
  const end = clock.now() + timeoutMs
  return {
    signal,
    clock,
    get timeoutMs() {
      return Math.max(0, end - clock.now())
    },
  }
}
