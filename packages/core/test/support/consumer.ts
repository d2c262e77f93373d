import type {
  Capabilities,
  Delivery,
  Destination,
  Driver,
  Health,
  OutboundMessage,
  Source,
  Status,
  SubscribeOptions,
  Subscription,
} from '../../src/driver.ts'
import type { Envelope, Priority } from '../../src/envelope.ts'
import type { ErrorCode, Failure, NotifyError } from '../../src/errors.ts'
import { createListener, type Listener, type ListenerOptions } from '../../src/listener/listener.ts'
import type { StatusEvent } from '../../src/observe.ts'
import { FakeClock } from './clock.ts'

/** What a delivery's settlement answers. A function may do anything else. */
export type Answer = boolean | (() => unknown)

/** One delivery, and what was done with it. */
export class ScriptedDelivery implements Delivery {
  readonly destination: Destination
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  declare readonly contentType?: string
  declare readonly key?: string
  declare readonly deliveries?: number
  readonly subscription: ScriptedSubscription
  acks = 0
  /** The delay of each requeue, 0 where there was none. */
  readonly requeues: number[] = []
  answer: Answer = true
  /** Hears of each call that settles it, and answers instead. */
  onSettle: ((how: 'ack' | 'requeue') => unknown) | undefined

  constructor(subscription: ScriptedSubscription, message: Message) {
    const { body, headers = {}, contentType = 'application/json', key, deliveries, ...fields } = message
    this.subscription = subscription
    this.destination = subscription.source.destination
    this.body = body ?? encode(fields)
    this.headers = headers
    this.contentType = contentType
    if (key !== undefined) this.key = key
    if (deliveries !== undefined) this.deliveries = deliveries
  }

  get settled(): boolean {
    return this.acks + this.requeues.length > 0
  }

  ack(): Promise<boolean> {
    this.acks++
    return this.#settle('ack')
  }

  requeue(options?: { readonly delayMs?: number }): Promise<boolean> {
    this.requeues.push(options?.delayMs ?? 0)
    return this.#settle('requeue')
  }

  #settle(how: 'ack' | 'requeue'): Promise<boolean> {
    if (this.onSettle !== undefined) return this.onSettle(how) as Promise<boolean>
    if (typeof this.answer === 'function') return this.answer() as Promise<boolean>
    return Promise.resolve(this.answer && !this.subscription.over)
  }
}

/** What a test delivers: fields of the envelope, or a body of its own, and what travels beside it. */
export interface Message extends Partial<Envelope> {
  readonly body?: Uint8Array
  readonly headers?: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly key?: string
  readonly deliveries?: number
}

/** One call of `subscribe`. */
export class ScriptedSubscription implements Subscription {
  readonly source: Source
  readonly options: SubscribeOptions
  readonly onDelivery: (delivery: Delivery) => void
  readonly ended: Promise<Failure | undefined>
  paused = false
  closed = false
  over = false
  readonly deliveries: ScriptedDelivery[] = []
  end: (failure?: Failure) => void = () => {}

  constructor(source: Source, onDelivery: (delivery: Delivery) => void, options: SubscribeOptions) {
    this.source = source
    this.options = options
    this.onDelivery = onDelivery
    this.ended = new Promise((resolve) => {
      this.end = (failure) => {
        this.over = true
        resolve(failure)
      }
    })
  }

  deliver(message: Message = {}): ScriptedDelivery {
    const delivery = this.make(message)
    this.onDelivery(delivery)
    return delivery
  }

  /** A delivery that is still to be delivered. */
  make(message: Message = {}): ScriptedDelivery {
    const delivery = new ScriptedDelivery(this, message)
    this.deliveries.push(delivery)
    return delivery
  }

  get unsettled(): number {
    return this.deliveries.filter(({ settled }) => !settled).length
  }

  async pause(): Promise<void> {
    this.paused = true
  }

  async close(): Promise<void> {
    this.closed = true
    this.end()
  }
}

/** A driver that delivers what a test says, and remembers what it was asked to do. */
export class ScriptedConsumer implements Driver {
  readonly contract = 1
  readonly name = 'scripted'
  readonly capabilities: Capabilities
  readonly subscriptions: ScriptedSubscription[] = []
  readonly published: OutboundMessage[] = []
  /** Instead of what `subscribe` would do by itself: hand out an open subscription. */
  onSubscribe: ((subscription: ScriptedSubscription) => unknown) | undefined
  /** Instead of confirming everything at once. */
  onPublish: Driver['publish'] | undefined
  onClose: (() => unknown) | undefined
  onHealth: (() => unknown) | undefined
  closes = 0
  readonly #observers = new Set<(status: Status) => void>()

  constructor(capabilities: Partial<Capabilities> = {}) {
    this.capabilities = Object.freeze({ ...CAPABLE, ...capabilities })
  }

  /** The latest subscription of a destination. */
  subscription(name = 'notifications.info'): ScriptedSubscription {
    const found = this.subscriptions.findLast(({ source }) => source.destination.name === name)
    if (found === undefined) throw new Error(`nobody subscribed to ${name}`)
    return found
  }

  deliver(message: Message = {}, name?: string): ScriptedDelivery {
    return this.subscription(name).deliver(message)
  }

  status(status: Status): void {
    for (const observer of this.#observers) observer(status)
  }

  get observers(): number {
    return this.#observers.size
  }

  publish(...call: Parameters<Driver['publish']>): void | Promise<void> {
    const [batch, settle] = call
    this.published.push(...batch)
    if (this.onPublish !== undefined) return this.onPublish(...call)
    for (const message of batch) settle(message)
  }

  subscribe(
    source: Source,
    onDelivery: (delivery: Delivery) => void,
    options: SubscribeOptions,
  ): Promise<Subscription> {
    const subscription = new ScriptedSubscription(source, onDelivery, options)
    this.subscriptions.push(subscription)
    const answer = this.onSubscribe?.(subscription) ?? subscription
    return answer instanceof Promise ? answer : Promise.resolve(answer as Subscription)
  }

  observe(observer: (status: Status) => void): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  async health(): Promise<Health> {
    return (this.onHealth?.() ?? { ok: true, warnings: [] }) as Health
  }

  async close(): Promise<void> {
    this.closes++
    await this.onClose?.()
  }
}

const CAPABLE: Capabilities = {
  confirms: 'broker',
  discards: false,
  ordering: 'none',
  deduplication: false,
  requeue: true,
  delay: { maxMs: 60_000 },
  deliveryCount: true,
  groups: true,
  sharing: 'message',
  history: true,
  maxMessageBytes: 1_000_000,
  maxBatch: 100,
  maxBatchBytes: 1_000_000,
  window: { messages: 1_000, bytes: 8_000_000 },
}

/** A failure as a driver would report it. */
export function broken(code: ErrorCode, more: Partial<Failure> = {}): Failure {
  const retryable = code === 'UNAVAILABLE' || code === 'THROTTLED'
  return { code, retryable, maybeSent: false, scope: 'destination', ...more }
}

/** The bytes of a notification. */
export function encode(
  fields: Partial<Envelope> & { readonly priority?: Priority | undefined } = {},
): Uint8Array {
  return new TextEncoder().encode(
    JSON.stringify({
      message_id: crypto.randomUUID(),
      publisher_id: 'test',
      event_type: 'test.happened',
      payload: {},
      ...fields,
    }),
  )
}

/** A listener over a scripted driver and a clock that stands still. */
export class Bench {
  readonly clock: FakeClock
  readonly driver: ScriptedConsumer
  readonly listener: Listener
  readonly failures: NotifyError[] = []
  readonly statuses: StatusEvent[] = []

  constructor(
    options: Partial<ListenerOptions>,
    {
      capabilities,
      clock = new FakeClock(),
    }: { capabilities?: Partial<Capabilities>; clock?: FakeClock } = {},
  ) {
    this.clock = clock
    this.driver = new ScriptedConsumer(capabilities)
    this.listener = createListener({
      driver: this.driver,
      clock,
      handlers: [{ priorities: ['INFO'], handle() {} }],
      onFailure: (error) => this.failures.push(error),
      onStatus: (event) => this.statuses.push(event),
      ...options,
    })
  }

  /** Starts it and lets everything happen that needs no time. */
  async start(): Promise<this> {
    const started = this.listener.start()
    await this.clock.settle()
    await started
    return this
  }

  /** Stops it, letting `ms` pass for that. */
  async stop(ms = 31_000): Promise<Awaited<ReturnType<Listener['stop']>>> {
    const stopped = this.listener.stop()
    await this.clock.advance(ms)
    return stopped
  }

  /** What the law is short of: 0 at any instant. */
  get imbalance(): number {
    const { received, acked, dead, dropped, unmatched, requeued, lost, pending } = this.listener.stats()
    return received - (acked + dead + dropped + unmatched + requeued + lost + pending)
  }
}

/** The note of a dead letter. */
export function noteOf(message: OutboundMessage | undefined): Record<string, unknown> {
  return JSON.parse(message?.headers['notify-dead'] ?? '{}') as Record<string, unknown>
}
