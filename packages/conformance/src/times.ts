import { randomUUID } from 'node:crypto'
import type { CallOptions, Capabilities, Delivery, Destination, Driver, Failure } from '@notify/core'
import type { Harness } from './harness.ts'
import { bodyOf } from './inbox.ts'
import { atMost, firesAfter } from './wait.ts'

/** How long to wait for something here, and for nothing. In milliseconds. */
export interface Times {
  /** What has not come by then does not come. */
  readonly deliverMs: number
  /** Silence for so long means that nothing comes. */
  readonly quietMs: number
  /** The 99th percentile of the round trips that both are taken from. */
  readonly roundTripMs: number
}

const ROUND_TRIPS = 20
const LIMIT_MS = 5_000

/**
 * Measures round trips through driver and broker: to the delivery, where there is one, else to the outcome. A driver
 * that cannot do that much fails its cases, not this: then the least that is ever waited is the answer.
 */
export async function measure(harness: Harness, capabilities: Capabilities, run: string): Promise<Times> {
  const took: number[] = []
  const driver = await harness.open()
  const call = { timeoutMs: LIMIT_MS, signal: firesAfter(LIMIT_MS) }
  const destination = await harness.destination(`times-${run}`)
  // Where it ends early, what was measured by then has to do.
  await atMost(
    LIMIT_MS,
    roundTrips(driver, capabilities, destination, call, took).catch(() => {}),
  )
  await letGo(driver, call)
  const roundTripMs = Math.max(0, ...took)
  return {
    roundTripMs,
    deliverMs: Math.max(2_000, 20 * roundTripMs),
    quietMs: Math.max(150, 5 * roundTripMs),
  }
}

async function roundTrips(
  driver: Driver,
  capabilities: Capabilities,
  destination: Destination,
  call: CallOptions,
  took: number[],
): Promise<void> {
  let delivered = 0
  let wake = (): void => {}
  // The first one connects and declares, which is not what is measured.
  await publish(driver, destination, call)
  const subscribes = driver.subscribe !== undefined && !capabilities.discards
  if (subscribes) {
    const onDelivery = (delivery: Delivery): void => {
      delivered++
      void delivery.ack()
      wake()
    }
    await driver.subscribe?.({ destination }, onDelivery, { ...call, prefetch: 10 })
  }
  for (let published = 2; published <= ROUND_TRIPS + 1; published++) {
    const start = performance.now()
    await publish(driver, destination, call)
    while (subscribes && delivered < published) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    took.push(performance.now() - start)
  }
}

function publish(driver: Driver, destination: Destination, call: CallOptions): Promise<void> {
  const id = randomUUID()
  const message = {
    id,
    dedupId: `${id}/${destination.name}`,
    destination,
    body: bodyOf(id),
    contentType: 'application/json',
    headers: {},
  }
  return new Promise((resolve, reject) => {
    const settle = (_: unknown, failure?: Failure): void => {
      if (failure === undefined) resolve()
      else reject(new Error(failure.code))
    }
    ;(async () => driver.publish([message], settle, call))().catch(reject)
  })
}

/** Closes a driver that may do anything but that. */
export async function letGo(driver: Driver, call: CallOptions): Promise<void> {
  await atMost(
    call.timeoutMs,
    (async () => driver.close(call))().catch(() => {}),
  )
}
