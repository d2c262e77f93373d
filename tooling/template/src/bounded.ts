import type { CallOptions } from '@notify/core'
import { aborted, timedOut } from './wire.ts'

/** What `work` comes to, or a Failure as soon as its time is over or the signal fires. What was started goes on. */
export async function bounded<T>(work: Promise<T>, { timeoutMs, signal }: CallOptions): Promise<T> {
  const { promise: stopped, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(aborted(signal))
  // The longest that a timer can wait.
  const timer = setTimeout(() => reject(timedOut()), Math.min(timeoutMs, 2 ** 31 - 1))
  signal.addEventListener('abort', onAbort)
  if (signal.aborted) onAbort()
  try {
    return await Promise.race([work, stopped])
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
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
