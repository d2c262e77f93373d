import { expect, onTestFinished } from 'vitest'
import {
  createNotifier,
  type Notifier,
  type NotifierOptions,
  type NotifyError,
  type StatusEvent,
} from '../../src/index.ts'
import { FakeClock } from './clock.ts'
import { type Scripted, type ScriptedOptions, scripted } from './publisher.ts'

/** A notifier over one scripted driver, on a clock of its own, and what its hooks heard. */
export interface Emitting {
  readonly clock: FakeClock
  readonly driver: Scripted
  readonly notifier: Notifier
  readonly failures: NotifyError[]
  readonly statuses: StatusEvent[]
}

/** Whatever a test did to it, it closes afterwards, in time, with sums that agree and no timer left. */
export function emitting(
  options: ScriptedOptions & { readonly notifier?: Partial<NotifierOptions>; readonly seed?: number } = {},
): Emitting {
  const clock = new FakeClock(options.seed)
  const driver = scripted(options)
  const failures: NotifyError[] = []
  const statuses: StatusEvent[] = []
  const notifier = createNotifier({
    publisherId: 'test',
    clock,
    onFailure: (error) => failures.push(error),
    onStatus: (event) => statuses.push(event),
    ...(options.notifier?.drivers === undefined ? { driver } : {}),
    ...options.notifier,
  } as NotifierOptions)
  onTestFinished(async () => {
    const closing = notifier.close({ timeoutMs: 0 })
    await clock.advance(10_000)
    const report = await closing
    expect(report.pending).toBe(0)
    expect(report.emitted).toBe(report.confirmed + report.failed + report.shed + report.filtered)
    for (const { emitted, confirmed, failed, shed, pending, inFlight } of report.drivers) {
      expect({ emitted, pending, inFlight }).toEqual({
        emitted: confirmed + failed + shed,
        pending: 0,
        inFlight: 0,
      })
    }
    expect(clock.timers).toBe(0)
  })
  return { clock, driver, notifier, failures, statuses }
}
