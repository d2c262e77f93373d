import { setTimeout as sleep } from 'node:timers/promises'

export interface Within {
  /** The longest wait. Default: 5 seconds. */
  readonly withinMs?: number
  /** Between two looks. Default: 20 ms. */
  readonly everyMs?: number
  /** What is waited for, for the error. */
  readonly what?: string
}

/**
 * Looks again and again until `check` gives something other than `false`, `null` or `undefined`, and gives that.
 * What it throws counts as not yet, and is the error's `cause` in the end.
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { withinMs = 5_000, everyMs = 20, what = 'It' }: Within = {},
): Promise<Exclude<T, false | null | undefined>> {
  const end = performance.now() + withinMs
  let cause: unknown
  for (;;) {
    const left = end - performance.now()
    if (left <= 0) throw new Error(`${what}: not within ${withinMs} ms`, { cause })
    try {
      const result = await within(left, check())
      if (result !== false && result !== null && result !== undefined) {
        return result as Exclude<T, false | null | undefined>
      }
      cause = undefined
    } catch (error) {
      cause = error
    }
    await sleep(everyMs)
  }
}

/** What `work` comes to, or an error after that time. The work itself is not stopped. */
export async function within<T>(ms: number, work: T | Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`not within ${Math.round(ms)} ms`)), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
