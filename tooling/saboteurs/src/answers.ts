/** What saboteurs of outcomes have in common. */
import type { CallOptions, Driver, Failure, OutboundMessage, Settle } from '@notify/core'
import { like } from './saboteur.ts'

/** A driver whose answers pass through what `change` makes for each call. */
export function answering(
  driver: Driver,
  change: (settle: Settle, batch: readonly OutboundMessage[], call: CallOptions) => Settle,
): Driver {
  return like(driver, {
    publish: (batch, settle, call) => driver.publish(batch, change(settle, batch, call), call),
  })
}

/** Waits for all answers of a call, and then gives those that `judge` makes of them. */
export function together(
  driver: Driver,
  judge: (
    outcomes: readonly (Failure | undefined)[],
    batch: readonly OutboundMessage[],
  ) => readonly (Failure | undefined)[],
): Driver {
  return answering(driver, (settle, batch) => {
    const outcomes = new Map<OutboundMessage, Failure | undefined>()
    return (message, failure) => {
      outcomes.set(message, failure)
      if (outcomes.size < batch.length) return
      const judged = judge(
        batch.map((each) => outcomes.get(each)),
        batch,
      )
      for (const [index, each] of batch.entries()) settle(each, judged[index])
    }
  })
}

/** What a message is settled with that was lost, or that says so. */
export const LOST: Failure = {
  code: 'UNAVAILABLE',
  retryable: true,
  maybeSent: true,
  scope: 'transport',
}

/** Whether the broker itself said no. */
export function isRefused(failure: Failure | undefined): boolean {
  return failure?.code === 'THROTTLED'
}
