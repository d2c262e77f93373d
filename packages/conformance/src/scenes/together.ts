import type { Driver, OutboundMessage } from '@notify/core'
import type { Call } from '../call.ts'
import type { SendOptions, Trial } from '../trial.ts'

/** As many calls as the messages need, of at most `most` messages each, all handed over before any answer. */
export function sendTogether(
  trial: Trial,
  driver: Driver,
  messages: readonly OutboundMessage[],
  { most = 100, ...options }: SendOptions & { readonly most?: number } = {},
): Call[] {
  const size = Math.min(most, trial.capabilities.maxBatch)
  const calls: Call[] = []
  for (let start = 0; start < messages.length; start += size) {
    calls.push(trial.send(driver, messages.slice(start, start + size), options))
  }
  return calls
}

/** How many messages core would have in flight to one destination, up to `count`. */
export function inFlight({ capabilities: { maxBatch, window } }: Trial, count: number): number {
  const { messages, calls = messages } = window
  return Math.max(1, Math.min(count, messages, calls * Math.min(100, maxBatch)))
}
