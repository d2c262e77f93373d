import type { Clock } from './clock.ts'
import type { Driver, Health } from './driver.ts'
import { type Failure, failure, toFailure } from './errors.ts'
import { within } from './within.ts'

/** Asks a driver how it is. Never rejects, ends in time, and makes whole what the driver answers. */
export async function askHealth(driver: Driver, clock: Clock, timeoutMs: number): Promise<Health> {
  const ill = (because: Failure): Health => ({ ok: false, warnings: [], failure: because })
  const late = ill(failure('DEADLINE', 'health', `No answer came within ${timeoutMs} ms.`))
  try {
    const answer = await within(clock, timeoutMs, (signal) => driver.health({ timeoutMs, signal }), late)
    const { ok, warnings, failure: because } = answer
    return {
      ok: ok === true,
      warnings: Array.isArray(warnings) ? warnings.filter((warning) => typeof warning === 'string') : [],
      ...(because === undefined ? {} : { failure: toFailure(because) }),
    }
  } catch (error) {
    return ill(toFailure(error))
  }
}
