import { setImmediate as turn } from 'node:timers/promises'
import type { Delivery, Destination, Driver } from '@notify/core'
import type { Call } from '../call.ts'
import { ABORTED, PATIENCE_MS, type Trial } from '../trial.ts'
import { firesAfter } from '../wait.ts'

/**
 * Everything at once on one driver, by the seed: publishes, aborts before, during and after, subscriptions, health,
 * a cut, and a close right in between. What was begun is waited for: all of it ends.
 */
export async function storm(
  trial: Trial,
  driver: Driver,
  destination: Destination,
  cut: () => void,
): Promise<void> {
  const { random, capabilities } = trial
  const chance = (outOf: number): boolean => random.between(1, outOf) === 1
  const calls: Call[] = []
  const begun: Promise<unknown>[] = []
  const kept: Delivery[] = []
  const begin = (work: Promise<unknown>): void => {
    // What it rejects with is heard of at the end.
    work.catch(() => {})
    begun.push(work)
  }

  const take = (delivery: Delivery): void => {
    kept.push(delivery)
    if (chance(2)) begin(settle(trial, delivery, capabilities.requeue && chance(2)))
  }
  const subscribe = async (signal: AbortSignal): Promise<void> => {
    const { value } = await trial.trySubscribe(driver, destination, {
      signal,
      onDelivery: take,
      prefetch: 10,
    })
    if (value !== undefined && chance(2)) await trial.unsubscribe(value)
  }
  const publish = (): void => {
    const batch = trial.messages(destination, random.between(1, Math.min(20, capabilities.maxBatch)))
    if (chance(4)) {
      calls.push(trial.send(driver, batch, { signal: AbortSignal.abort(ABORTED) }))
      return
    }
    const call = trial.send(driver, batch)
    calls.push(call)
    const abort = (): void => call.abort(ABORTED)
    const moments = [abort, () => queueMicrotask(abort), () => void call.settled.then(abort)]
    moments[random.between(0, 5)]?.()
  }

  for (let step = random.between(3, 12); step > 0; step--) {
    publish()
    if (trial.subscribes && chance(3)) begin(subscribe(signalFor(chance)))
    if (chance(4)) begin(trial.health(driver, PATIENCE_MS, signalFor(chance)))
    if (chance(8)) cut()
    if (chance(2)) await turn()
  }
  const closing = closes(trial, driver, signalFor(chance))
  publish()
  if (trial.subscribes && chance(2)) begin(subscribe(signalFor(chance)))
  if (chance(2)) begin(closes(trial, driver, signalFor(chance)))
  await closing
  publish()
  for (const call of calls) await trial.settled(call)
  await Promise.all(begun)
  for (const delivery of kept) await settle(trial, delivery, capabilities.requeue && chance(2))
}

function closes(trial: Trial, driver: Driver, signal: AbortSignal): Promise<void> {
  // How it ends is another case's to say.
  const close = async (): Promise<void> => driver.close({ timeoutMs: PATIENCE_MS, signal }).catch(() => {})
  return trial.ends(close, PATIENCE_MS, 'close ends in bounded time')
}

async function settle(trial: Trial, delivery: Delivery, again: boolean): Promise<void> {
  const rule = 'to settle a delivery never rejects, whatever befell its subscription'
  await trial.ends(() => (again ? delivery.requeue() : delivery.ack()), PATIENCE_MS, rule)
}

/** One that has fired, fires soon, or does not. */
function signalFor(chance: (outOf: number) => boolean): AbortSignal {
  if (chance(4)) return AbortSignal.abort(ABORTED)
  return firesAfter(chance(3) ? 5 : PATIENCE_MS)
}
