import type { CallOptions, Destination, Driver, OutboundMessage } from '@notify/core'
import type { Harness, OpenOptions } from '../harness.ts'
import { bodyOf } from '../inbox.ts'
import { atMost, DEADLINE, until } from '../wait.ts'

/** Each step gets so long, and as long again once its signal has fired. */
const STEP_MS = 1_000

/**
 * One driver from open to close, with something of everything that could leave something behind. What comes of it is
 * not looked at, only what is left.
 */
export async function exercise(
  harness: Harness,
  destinations: readonly [Destination, Destination],
  options: OpenOptions = {},
): Promise<void> {
  const step = async (act: (call: CallOptions) => unknown): Promise<void> => {
    const controller = new AbortController()
    const work = (async () => act({ timeoutMs: STEP_MS, signal: controller.signal }))().catch(() => {})
    if ((await atMost(STEP_MS, work)) !== undefined) return
    controller.abort(DEADLINE)
    await atMost(STEP_MS, work)
  }
  const driver = await harness.open(options)
  driver.observe?.(() => {})
  await useIt(driver, destinations, step)
  const close = (call: CallOptions): Promise<void> => driver.close(call)
  await Promise.all([step(close), step(close)])
  await step((call) => publish(driver, [messageTo(destinations[0])], call))
  await step((call) => driver.health(call))
}

async function useIt(
  driver: Driver,
  [one, other]: readonly [Destination, Destination],
  step: (act: (call: CallOptions) => unknown) => Promise<void>,
): Promise<void> {
  const size = Math.min(5, driver.capabilities.maxBatch)
  const batch = (to: Destination): OutboundMessage[] => Array.from({ length: size }, () => messageTo(to))
  await Promise.all([one, one, other].map((to) => step((call) => publish(driver, batch(to), call))))
  await step((call) => driver.health(call))
  await step((call) => publish(driver, [{ ...messageTo(one), headers: { 'not a name': '' } }], call))
  const gone = AbortSignal.abort(DEADLINE)
  await step((call) => publish(driver, batch(one), { ...call, signal: gone }))
  await step((call) => {
    const controller = new AbortController()
    const published = publish(driver, batch(one), { ...call, signal: controller.signal })
    controller.abort(DEADLINE)
    return published
  })
  if (driver.subscribe === undefined) return
  let came = 0
  await step(async (call) => {
    const acknowledged = await driver.subscribe?.(
      { destination: one },
      (delivery) => {
        came++
        delivery.ack().catch(() => {})
      },
      { ...call, prefetch: 10 },
    )
    await until(() => came > 0, STEP_MS / 2)
    await acknowledged?.close(call)
  })
  // Open, and with something unsettled, when the driver is closed.
  await step((call) => driver.subscribe?.({ destination: one }, () => {}, { ...call, prefetch: 10 }))
  await step((call) => driver.subscribe?.({ destination: other }, () => {}, { ...call, prefetch: 1 }))
  await step((call) =>
    driver.subscribe?.({ destination: other }, () => {}, { ...call, prefetch: 1, signal: gone }),
  )
}

function messageTo(destination: Destination): OutboundMessage {
  const id = crypto.randomUUID()
  return {
    id,
    dedupId: `${id}/${destination.name}`,
    destination,
    body: bodyOf(id),
    contentType: 'application/json',
    headers: {},
  }
}

/** Resolves when all is settled. */
function publish(driver: Driver, batch: readonly OutboundMessage[], call: CallOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const open = new Set(batch)
    const settle = (message: OutboundMessage): void => {
      open.delete(message)
      if (open.size === 0) resolve()
    }
    Promise.resolve(driver.publish(batch, settle, call)).catch(reject)
  })
}
