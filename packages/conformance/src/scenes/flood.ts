import type { Driver, OutboundMessage } from '@notify/core'
import { bytesOf } from '../checks/arrival.ts'
import type { Trial } from '../trial.ts'

/** One call that is under way. */
interface Flight {
  readonly messages: number
  readonly bytes: number
  readonly done: Promise<void>
}

const PATIENCE_MS = 60_000
/** Most calls are small, as those of a program that has little to say at a time. */
const LARGEST = 20

/**
 * Publishes to one destination in calls of changing size, as many at once as the driver's window allows: that is
 * what core does when there is much to send. All must be confirmed.
 */
export async function flood(
  trial: Trial,
  driver: Driver,
  messages: readonly OutboundMessage[],
): Promise<void> {
  const { window } = trial.capabilities
  const flights = new Set<Flight>()
  const sum = (field: 'messages' | 'bytes'): number =>
    [...flights].reduce((total, flight) => total + flight[field], 0)
  const isFull = (batch: readonly OutboundMessage[], bytes: number): boolean =>
    flights.size > 0 &&
    (flights.size >= (window.calls ?? Number.POSITIVE_INFINITY) ||
      sum('messages') + batch.length > window.messages ||
      sum('bytes') + bytes > window.bytes)

  const all: Promise<void>[] = []
  for (let at = 0; at < messages.length; ) {
    const batch = next(trial, messages, at)
    at += batch.length
    const bytes = batch.reduce((total, message) => total + bytesOf(message), 0)
    while (isFull(batch, bytes)) await Promise.race([...flights].map(({ done }) => done))
    const done = trial.publish(driver, batch, { timeoutMs: PATIENCE_MS }).then((call) => {
      flights.delete(flight)
      trial.confirmed(call)
    })
    const flight: Flight = { messages: batch.length, bytes, done }
    flights.add(flight)
    all.push(done)
    // All of them are awaited below.
    done.catch(() => {})
  }
  await Promise.all(all)
}

/** What the next call takes: often one message, and at times all that the driver takes. */
function next(
  { random, capabilities }: Trial,
  messages: readonly OutboundMessage[],
  at: number,
): OutboundMessage[] {
  const { maxBatch, maxBatchBytes } = capabilities
  const count = Math.min(maxBatch, random.next() < 0.6 ? 1 : random.between(2, LARGEST))
  const batch: OutboundMessage[] = []
  let bytes = 0
  for (const message of messages.slice(at, at + count)) {
    bytes += bytesOf(message)
    if (batch.length > 0 && bytes > maxBatchBytes) break
    batch.push(message)
  }
  return batch
}
