import type { Destination } from '@notify/core'
import type { OpenOptions } from './harness.ts'
import type { Trial } from './trial.ts'
import { until } from './wait.ts'

/**
 * The ids of what a group still has, each as often as it came: what a new member is brought, on a driver of its own,
 * by the time when it has had everything `expected` and a message published after it came. It acknowledges all. That
 * works for a log as well, where nothing that is acknowledged disappears.
 */
export async function remains(
  trial: Trial,
  destination: Destination,
  expected: readonly string[],
  options: {
    readonly group?: string
    readonly open?: OpenOptions
    /** How much longer than a delivery it may take: a lease has to end. */
    readonly moreMs?: number
    /** What came elsewhere counts as well. */
    readonly elsewhere?: () => readonly string[]
  } = {},
): Promise<string[]> {
  const { group, open, moreMs = 0, elsewhere = () => [] } = options
  const driver = await trial.open(open)
  const inbox = await trial.subscribe(driver, destination, group === undefined ? {} : { group })
  const last = trial.message(destination)
  await trial.confirm(driver, [last])
  const found = (): string[] => [...elsewhere(), ...inbox.ids]
  await trial.until(() => found().includes(last.id), 'what is published last is delivered')
  const all = (): boolean => {
    const there = new Set(found())
    return expected.every((id) => there.has(id))
  }
  await until(all, trial.times.deliverMs + moreMs)
  await trial.quiet()
  trial.evidence ??= 'round-trip'
  await trial.unsubscribe(inbox)
  return found().filter((id) => id !== last.id)
}
