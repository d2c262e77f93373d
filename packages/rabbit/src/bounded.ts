import type { CallOptions, Failure } from '@notify/core'
import { timedOut } from './classify.ts'

/**
 * What `work` comes to, or a {@link Failure} as soon as its time is over or the signal fires: amqplib waits for
 * ever. What was started goes on; `late` gets what it came to, to put it away.
 */
export function bounded<T>(
  what: string,
  work: Promise<T>,
  { timeoutMs, signal }: CallOptions,
  late?: (result: T) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
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
    // The longest that a timer can wait.
    const timer = setTimeout(
      () => {
        if (finish()) reject(timedOut(what))
      },
      Math.min(timeoutMs, 2 ** 31 - 1),
    )
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
export function deadline({ timeoutMs, signal }: CallOptions): CallOptions {
  const end = performance.now() + timeoutMs
  return {
    signal,
    get timeoutMs() {
      return Math.max(0, end - performance.now())
    },
  }
}
