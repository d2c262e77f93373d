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
      const result = await bounded(check, left)
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

/** A look that hangs must not hang the one who waits. */
async function bounded<T>(check: () => T | Promise<T>, ms: number): Promise<T> {
  const late = new AbortController()
  const timeout = sleep(ms, undefined, { signal: late.signal }).then(() => {
    throw new Error('the last look did not return')
  })
  try {
    return await Promise.race([check(), timeout])
  } finally {
    timeout.catch(() => {})
    late.abort()
  }
}
