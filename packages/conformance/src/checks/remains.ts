import type { Destination } from '@notify/core'
import type { Trial } from '../trial.ts'
import { until } from '../wait.ts'

export interface RemainsOptions {
  readonly group?: string
  /** What came elsewhere counts as well. */
  readonly elsewhere?: () => readonly string[]
}

/**
 * The ids of what a group still has, each as often as it came: what a new member is brought, on a driver of its own,
 * by the time when it has had everything `expected` and a message published after it came. It acknowledges all. That
 * works for a log as well, where nothing that is acknowledged disappears.
 */
export async function remains(
  trial: Trial,
  destination: Destination,
  expected: readonly string[],
  { group, elsewhere = () => [] }: RemainsOptions = {},
): Promise<string[]> {
  const driver = await trial.open(leaseOf(trial))
  const inbox = await trial.subscribe(driver, destination, group === undefined ? {} : { group })
  const last = trial.message(destination)
  await trial.confirm(driver, [last])
  const found = (): string[] => [...elsewhere(), ...inbox.ids]
  await trial.until(() => found().includes(last.id), 'what is published last is delivered')
  const all = (): boolean => {
    const there = new Set(found())
    return expected.every((id) => there.has(id))
  }
  await until(all, comesBackMs(trial))
  await trial.quiet()
  trial.evidence ??= 'round-trip'
  await trial.unsubscribe(inbox)
  return found().filter((id) => id !== last.id)
}

/** The shortest lease there is, for what comes back when one has run out. */
export function leaseOf({ harness: { leaseMs } }: Trial): { leaseMs?: number } {
  return leaseMs === undefined ? {} : { leaseMs }
}

/** How long it may take until something comes back that nobody gave back. */
export function comesBackMs({ harness: { leaseMs = 0 }, times }: Trial): number {
  return times.deliverMs + 2 * leaseMs
}
