import type {
  Delivery,
  Destination,
  Driver,
  Failure,
  OutboundMessage,
  Priority,
  Source,
  Subscription,
} from '@notify/core'

export const CALL = { timeoutMs: 1_000, signal: new AbortController().signal }

export function destination(topic = 'notifications', priority: Priority = 'INFO'): Destination {
  return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
}

let count = 0

export function message(fields: Partial<OutboundMessage> = {}): OutboundMessage {
  const { destination: to = destination() } = fields
  const id = fields.id ?? `id-${count++}`
  return {
    id,
    dedupId: `${id}/${to.name}`,
    destination: to,
    body: new TextEncoder().encode(JSON.stringify({ event_type: id, message_id: id, payload: {} })),
    contentType: 'application/json',
    headers: {},
    ...fields,
  }
}

export type Outcome = Failure | 'confirmed'

/** Resolves when every message of the call is settled, and fails when one is settled twice. */
export function publish(
  driver: Driver,
  batch: readonly OutboundMessage[],
  signal: AbortSignal = CALL.signal,
): Promise<Outcome[]> {
  return new Promise((resolve, reject) => {
    const outcomes = new Map<OutboundMessage, Outcome>()
    const settle = (one: OutboundMessage, failure?: Failure) => {
      if (outcomes.has(one)) reject(new Error(`${one.id} was settled twice`))
      outcomes.set(one, failure ?? 'confirmed')
      if (outcomes.size === batch.length) resolve(batch.map((each) => outcomes.get(each) as Outcome))
    }
    void driver.publish(batch, settle, { timeoutMs: 1_000, signal })
  })
}

export async function publishBodies(
  driver: Driver,
  texts: readonly string[],
  to = destination(),
): Promise<void> {
  const outcomes = await publish(
    driver,
    texts.map((text) => message({ destination: to, body: new TextEncoder().encode(text) })),
  )
  if (outcomes.some((outcome) => outcome !== 'confirmed')) throw new Error(JSON.stringify(outcomes))
}

/** A subscription, and what came over it. */
export interface Inbox extends Subscription {
  readonly deliveries: Delivery[]
  /** The bodies as text. */
  readonly texts: string[]
  /** Resolves when that many came, in all. */
  reaches(deliveries: number): Promise<void>
}

export async function subscribe(
  driver: Driver,
  source: Partial<Source> & {
    prefetch?: number
    from?: 'new' | 'earliest'
    onDelivery?: (d: Delivery) => void
  } = {},
): Promise<Inbox> {
  const { prefetch = 1_000, from, onDelivery, group } = source
  const deliveries: Delivery[] = []
  const texts: string[] = []
  const waiting: { count: number; resolve: () => void }[] = []
  if (driver.subscribe === undefined) throw new Error('The driver does not subscribe.')
  const subscription = await driver.subscribe(
    { destination: source.destination ?? destination(), ...(group === undefined ? {} : { group }) },
    (delivery) => {
      deliveries.push(delivery)
      texts.push(new TextDecoder().decode(delivery.body))
      onDelivery?.(delivery)
      for (const each of waiting) if (deliveries.length >= each.count) each.resolve()
    },
    { ...CALL, prefetch, ...(from === undefined ? {} : { from }) },
  )
  return {
    ended: subscription.ended,
    pause: () => subscription.pause(),
    close: (options) => subscription.close(options),
    deliveries,
    texts,
    reaches: (number) =>
      new Promise((resolve) => {
        if (deliveries.length >= number) resolve()
        else waiting.push({ count: number, resolve })
      }),
  }
}

/**
 * Everything the broker has begun is over after the host's next turns: it has no other clock. What did not
 * happen by then does not happen.
 */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export function acknowledging(delivery: Delivery): void {
  void delivery.ack()
}

export const range = (count: number): string[] => Array.from({ length: count }, (_, index) => String(index))

/** The code that a promise rejects with. */
export const code = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: Failure) => error.code,
  )
