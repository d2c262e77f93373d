import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type {
  CallOptions,
  Delivery,
  Destination,
  Failure,
  OutboundMessage,
  Priority,
  Subscription,
} from '@notify/core'
import type { TestContext } from 'vitest'
import { type AcmeDriver, type AcmeOptions, acme } from '../src/index.ts'
import { type Broker, startBroker } from './broker.ts'

/** A broker of the test's own, and drivers for it. All of it goes with the test. */
export interface Place {
  readonly broker: Broker
  driver(options?: AcmeOptions): AcmeDriver
}

export async function placeFor(context: TestContext, options: { password?: string } = {}): Promise<Place> {
  const broker = await startBroker(options)
  context.onTestFinished(() => broker.stop())
  const { host, port } = broker
  return {
    broker,
    driver(given) {
      const driver = acme({ host, port, ...options, ...given })
      context.onTestFinished(() => driver.close(within(0)))
      return driver
    },
  }
}

export function within(timeoutMs: number, signal: AbortSignal = new AbortController().signal): CallOptions {
  return { timeoutMs, signal }
}

export function destinationOf(topic: string, priority: Priority = 'INFO'): Destination {
  return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
}

export const ORDERS: Destination = destinationOf('orders')

export function outbound(rest: Partial<OutboundMessage> = {}): OutboundMessage {
  const { id = randomUUID(), destination = ORDERS } = rest
  return {
    id,
    dedupId: `${id}/${destination.name}`,
    destination,
    body: new TextEncoder().encode(id),
    contentType: 'text/plain',
    headers: {},
    ...rest,
  }
}

export type Outcome = Failure | 'confirmed'

/** One call. `outcomes` resolves when all of it is settled, in the order of the batch. */
export function send(
  driver: AcmeDriver,
  batch: readonly OutboundMessage[],
  call: CallOptions = within(10_000),
): { readonly settled: Map<OutboundMessage, Outcome>; readonly outcomes: Promise<Outcome[]> } {
  const settled = new Map<OutboundMessage, Outcome>()
  const { promise, resolve, reject } = Promise.withResolvers<Outcome[]>()
  const settle = (message: OutboundMessage, failure?: Failure): void => {
    if (settled.has(message)) reject(new Error(`${message.id} was settled twice`))
    settled.set(message, failure ?? 'confirmed')
    if (settled.size === batch.length) resolve(batch.map((each) => settled.get(each) as Outcome))
  }
  void driver.publish(batch, settle, call)
  return { settled, outcomes: promise }
}

export function publish(driver: AcmeDriver, ...batch: readonly OutboundMessage[]): Promise<Outcome[]> {
  return send(driver, batch).outcomes
}

/** A subscription, and what it has received so far. */
export interface Inbox {
  readonly subscription: Subscription
  readonly deliveries: Delivery[]
  /** Resolves when so many have come. */
  has(count: number): Promise<readonly Delivery[]>
}

export async function consume(
  driver: AcmeDriver,
  {
    group,
    prefetch = 10,
    destination = ORDERS,
  }: { group?: string; prefetch?: number; destination?: Destination } = {},
): Promise<Inbox> {
  const deliveries: Delivery[] = []
  const source = group === undefined ? { destination } : { destination, group }
  const subscription = await driver.subscribe(source, (delivery) => deliveries.push(delivery), {
    ...within(10_000),
    prefetch,
  })
  return {
    subscription,
    deliveries,
    async has(count) {
      await eventually(() => deliveries.length >= count)
      return deliveries
    },
  }
}

/** Looks again and again, until it is so. The test's own time is the limit. */
export async function eventually(check: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await check())) await setImmediate()
}

export function textOf({ body }: Delivery): string {
  return new TextDecoder().decode(body)
}
