import type { Clock } from './clock.ts'

/** How long to wait between attempts: full jitter, after Amazon's "Exponential backoff and jitter". */
export interface Backoff {
  /** The upper bound of the first wait, in milliseconds. It doubles from there. */
  readonly minMs: number
  /** The upper bound of every wait. */
  readonly maxMs: number
}

/** A shut gate is probed at least this often, so that recovery is seen soon after it happened. */
export const PROBE_MAX_MS = 2_000

/**
 * The wait before the next attempt after `failures` of them, uniform between nothing and the bound: what keeps
 * many programs that lost one broker from coming back in step.
 */
export function backoffMs(
  failures: number,
  { minMs, maxMs }: Backoff,
  clock: Clock,
  retryAfterMs = 0,
): number {
  const bound = Math.min(maxMs, minMs * 2 ** Math.min(failures - 1, 30))
  return Math.max(retryAfterMs, clock.random() * bound)
}
