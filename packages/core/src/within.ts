import { Alarm, type Clock } from './clock.ts'
import { failure } from './errors.ts'

/**
 * Waits for a call of a driver, at most `timeoutMs`, and then goes on with `otherwise`: a driver that never
 * answers can keep nobody waiting. Its signal fires when the time is up.
 */
export async function within<T>(
  clock: Clock,
  timeoutMs: number,
  call: (signal: AbortSignal) => Promise<T>,
  otherwise: T,
): Promise<T> {
  const abort = new AbortController()
  let alarm: Alarm | undefined
  const late = new Promise<T>((resolve) => {
    alarm = new Alarm(clock, () => {
      abort.abort(failure('DEADLINE'))
      resolve(otherwise)
    })
    alarm.by(clock.now() + timeoutMs)
  })
  try {
    return await Promise.race([late, call(abort.signal)])
  } finally {
    alarm?.clear()
  }
}
