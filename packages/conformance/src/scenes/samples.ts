import type { Destination, OutboundMessage } from '@notify/core'
import type { Trial } from '../trial.ts'

/** Room for what a message carries beside its body. */
const BESIDE = 500

/** Messages that differ in all that a message can carry: some have headers, some a key, some a larger body. */
export function assorted(trial: Trial, destination: Destination, count: number): OutboundMessage[] {
  const most = Math.max(0, trial.capabilities.maxMessageBytes - BESIDE)
  return trial.messages(destination, count, (index) => ({
    size: Math.min([0, 300, 0, 3_000, 700][index % 5] as number, most),
    headers: index % 3 === 0 ? { seat: String(index), Note: `n° ${index}`, empty: '' } : {},
    contentType: index % 4 === 0 ? 'text/plain; charset=utf-8' : 'application/json',
    ...(index % 2 === 0 ? { key: `key ${index % 14}` } : {}),
  }))
}

/** Another topic, of the case's own, whose name the case chooses. */
export function beside({ priority }: Destination, topic: string): Destination {
  return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
}
