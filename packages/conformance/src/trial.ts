/**
 * What a case works with: drivers that are closed after it, messages that can be told apart, waiting without sleeps,
 * and claims that are counted.
 *
 * Everything that touches the driver goes through here, so that whatever the driver does wrong on the way (a
 * `publish` that throws, a promise that never ends) is a broken promise with a name, and not a broken case.
 *
 * @module
 */
import type {
  Capabilities,
  Delivery,
  Destination,
  Driver,
  Failure,
  Health,
  OutboundMessage,
  Priority,
  SubscribeOptions,
} from '@notify/core'
import { Call } from './call.ts'
import { Claims, describeFailure, type Outcome, show, Violation } from './claims.ts'
import type { Faults, Harness, OpenOptions, Reader, Stored } from './harness.ts'
import { bodyOf, Inbox, idOf } from './inbox.ts'
import { Log } from './log.ts'
import { openProxy, type TcpProxy } from './proxy/proxy.ts'
import { type Random, seeded } from './proxy/random.ts'
import type { Parts } from './session.ts'
import type { Times } from './times.ts'
import { atMost, DEADLINE, firesAfter, until } from './wait.ts'

/** How a call is bounded, and what is told of its messages while it runs. */
export interface SendOptions {
  /** The call's signal fires then, with `DEADLINE`. Default: 10,000. */
  readonly timeoutMs?: number
  /** A signal of the case's own, in place of one that fires after `timeoutMs`. */
  readonly signal?: AbortSignal
  /** Called within each settle, after it was counted. */
  readonly onSettle?: (message: OutboundMessage, outcome: Outcome) => void
}

export interface SubscriptionOptions {
  /** Default: 100. */
  readonly prefetch?: number
  readonly group?: string
  readonly from?: SubscribeOptions['from']
  readonly signal?: AbortSignal
  /** What becomes of a delivery. Default: it is acknowledged. */
  readonly onDelivery?: (delivery: Delivery) => void
}

/** The bound of a call of which nothing else is asked than that it ends. */
export const PATIENCE_MS = 10_000
/** What a driver may take for what it must do at once, a signal that has fired, say. */
export const AT_ONCE_MS = 100

export class Trial {
  readonly id: string
  readonly harness: Harness
  readonly capabilities: Capabilities
  readonly times: Times
  readonly random: Random
  readonly claims: Claims = new Claims()
  readonly log: Log = new Log()
  /** Whether a claim was made about what another client found in the broker, or else what the driver brought. */
  evidence: 'observed' | 'round-trip' | undefined
  readonly #run: string
  readonly #subscribes: boolean
  readonly #calls: Call[] = []
  readonly #drivers = new Set<Driver>()
  readonly #ends: (() => unknown)[] = []
  readonly #start = performance.now()
  #sequence = 0

  constructor(setting: {
    readonly id: string
    readonly harness: Harness
    readonly parts: Parts
    readonly times: Times
    readonly seed: number
    readonly run: string
  }) {
    const { id, harness, parts, times, seed, run } = setting
    this.id = id
    this.harness = harness
    this.capabilities = parts.capabilities
    this.#subscribes = parts.subscribe
    this.times = times
    this.random = seeded(seed)
    this.#run = run
  }

  // Drivers

  /** A fresh driver. It is closed after the case. */
  async open(options: OpenOptions = {}): Promise<Driver> {
    const driver = await this.harness.open(options)
    this.adopt(driver)
    return driver
  }

  /** A driver that came another way is closed after the case as well. */
  adopt(driver: Driver): void {
    this.#drivers.add(driver)
  }

  /** Runs after the case, the last one first. */
  after(task: () => unknown): void {
    this.#ends.push(task)
  }

  /** Closes it, in bounded time. */
  async close(driver: Driver, timeoutMs: number = PATIENCE_MS): Promise<void> {
    this.log.add('close')
    const call = { timeoutMs, signal: firesAfter(timeoutMs) }
    await this.ends(() => driver.close(call), timeoutMs + 1_000, 'close ends in bounded time')
    this.log.add('closed')
  }

  async health(driver: Driver, timeoutMs = 5_000, signal?: AbortSignal): Promise<Health> {
    const call = { timeoutMs, signal: signal ?? firesAfter(timeoutMs) }
    const health = await this.ends(
      () => driver.health(call),
      timeoutMs + 1_000,
      'health resolves in bounded time',
    )
    this.log.add(`health ${health.ok ? 'ok' : `not ok${health.failure ? `, ${health.failure.code}` : ''}`}`)
    return health
  }

  // Messages

  /** A destination of this case alone; the same hint and another priority for another one of the same topic. */
  destination(hint = 'orders', priority: Priority = 'INFO'): Promise<Destination> {
    return this.harness.destination(`${this.id.toLowerCase()}-${hint}-${this.#run}`, priority)
  }

  /** A message that can be told from all others, by its body. */
  message(
    destination: Destination,
    fields: Partial<OutboundMessage> & { size?: number } = {},
  ): OutboundMessage {
    const { size, ...rest } = fields
    const id = rest.id ?? `${this.#run}-${this.id}-${++this.#sequence}`
    return {
      id,
      dedupId: `${id}/${destination.name}`,
      destination,
      body: bodyOf(id, size),
      contentType: 'application/json',
      headers: {},
      ...rest,
    }
  }

  messages(
    destination: Destination,
    count: number,
    fields: (index: number) => Partial<OutboundMessage> & { size?: number } = () => ({}),
  ): OutboundMessage[] {
    return Array.from({ length: count }, (_, index) => this.message(destination, fields(index)))
  }

  // Publishing

  /** One call of `publish`. What becomes of it is seen in the call. */
  send(driver: Driver, batch: readonly OutboundMessage[], options: SendOptions = {}): Call {
    const { timeoutMs = PATIENCE_MS, onSettle } = options
    const controller = new AbortController()
    const signal = options.signal ?? controller.signal
    const timer = setTimeout(() => controller.abort(DEADLINE), timeoutMs)
    const call = new Call(batch, (reason) => controller.abort(reason))
    this.#calls.push(call)
    void call.settled.then(() => clearTimeout(timer))
    this.after(() => clearTimeout(timer))
    this.log.add(() => `publish ${batch.length} to ${batch[0]?.destination.name}`)
    const settle = (message: OutboundMessage, failure?: Failure): void => {
      this.log.add(() => `${message.id} ${failure === undefined ? 'confirmed' : describeFailure(failure)}`)
      call.settle(message, failure)
      onSettle?.(message, failure ?? 'confirmed')
    }
    try {
      const handed = driver.publish(batch, settle, { timeoutMs, signal })
      Promise.resolve(handed).catch((error: unknown) => this.#broke('publish must not reject', error))
    } catch (error) {
      this.#broke('publish must not throw', error)
    }
    return call
  }

  /** One call, to the end: each of its messages is settled, whatever becomes of them. */
  async publish(driver: Driver, batch: readonly OutboundMessage[], options: SendOptions = {}): Promise<Call> {
    const call = this.send(driver, batch, options)
    await this.settled(call, (options.timeoutMs ?? PATIENCE_MS) + 1_000)
    return call
  }

  /** All messages, in calls as large as the driver takes and core would make, one after the other. */
  async publishAll(
    driver: Driver,
    messages: readonly OutboundMessage[],
    options: SendOptions = {},
  ): Promise<Call[]> {
    const calls: Call[] = []
    const { maxBatch, maxBatchBytes } = this.capabilities
    let batch: OutboundMessage[] = []
    let bytes = 0
    const flush = async (): Promise<void> => {
      if (batch.length > 0) calls.push(await this.publish(driver, batch, options))
      batch = []
      bytes = 0
    }
    for (const message of messages) {
      // What headers and keys add is never more.
      const size = message.body.length + 4_096
      if (batch.length === maxBatch || bytes + size > maxBatchBytes) await flush()
      batch.push(message)
      bytes += size
    }
    await flush()
    return calls
  }

  /** Publishes what must be confirmed for the case to go on. */
  async confirm(driver: Driver, messages: readonly OutboundMessage[]): Promise<void> {
    for (const call of await this.publishAll(driver, messages)) this.confirmed(call)
  }

  /** Waits until each message of the call is settled. */
  async settled(call: Call, withinMs: number = PATIENCE_MS): Promise<void> {
    this.#throwIfBroken()
    const done = await atMost(withinMs, call.settled)
    this.#throwIfBroken()
    const open = call.open.map(({ id }) => id)
    const rule = 'each message of a call is settled'
    this.check(
      done !== undefined,
      rule,
      `after ${withinMs} ms ${open.length} were not: ${open.slice(0, 5).join(', ')}`,
    )
  }

  // Consuming

  /** Opens a subscription, which is closed with its driver. Fails the case when it cannot be opened. */
  async subscribe(
    driver: Driver,
    destination: Destination,
    options: SubscriptionOptions = {},
  ): Promise<Inbox> {
    const inbox = new Inbox(destination)
    const { value, error } = await this.trySubscribe(driver, destination, options, inbox)
    return this.claims.found(value, 'a subscription that can be had is opened', describeError(error))
  }

  /** The same, where it may be refused: `error` is what it rejected with. */
  async trySubscribe(
    driver: Driver,
    destination: Destination,
    options: SubscriptionOptions = {},
    inbox: Inbox = new Inbox(destination),
  ): Promise<{ readonly value?: Inbox; readonly error?: unknown }> {
    const { group, from, prefetch = 100, onDelivery = (delivery) => this.acknowledge(delivery) } = options
    const signal = options.signal ?? firesAfter(PATIENCE_MS)
    const source = group === undefined ? { destination } : { destination, group }
    this.log.add(`subscribe to ${destination.name}${group === undefined ? '' : ` as ${group}`}`)
    const take = (delivery: Delivery): void => {
      inbox.deliveries.push(delivery)
      this.log.add(() => `delivered ${idOf(delivery.body) ?? 'a stranger'}`)
      onDelivery(delivery)
    }
    const how = { prefetch, timeoutMs: PATIENCE_MS, signal, ...(from === undefined ? {} : { from }) }
    const opening = (async () => driver.subscribe?.(source, take, how))()
    const opened = await atMost(
      PATIENCE_MS + 1_000,
      opening.then(
        (subscription) => ({ subscription }),
        (error: unknown) => ({ error }),
      ),
    )
    const { value: ended } = this.claims.found(opened, 'subscribe ends in bounded time')
    if ('error' in ended) {
      this.log.add(`subscribe rejected: ${describeError(ended.error)}`)
      return { error: ended.error }
    }
    const { subscription } = ended
    if (subscription === undefined)
      throw new Error('a case that subscribes needs the driver to have subscribe')
    inbox.opened(subscription)
    subscription.ended.then(
      (reason) =>
        this.log.add(
          `subscription to ${destination.name} ended${reason ? `: ${describeFailure(reason)}` : ''}`,
        ),
      (error: unknown) => this.#broke('ended must not reject', error),
    )
    return { value: inbox }
  }

  /** Acknowledges it. That `ack` does not reject is seen to; what it answers, is not. */
  acknowledge(delivery: Delivery): void {
    ;(async () => delivery.ack())().catch((error: unknown) => this.#broke('ack must not reject', error))
  }

  /** Waits until so many deliveries have come, for as long as they keep coming. */
  async has(
    inbox: Inbox,
    count: number,
    rule = 'what was published is delivered',
  ): Promise<readonly Delivery[]> {
    this.evidence ??= 'round-trip'
    const { deliveries } = inbox
    let seen = -1
    while (deliveries.length < count && deliveries.length > seen) {
      seen = deliveries.length
      await until(() => deliveries.length > seen, this.times.deliverMs)
    }
    const waited = `and no more within ${Math.round(this.times.deliverMs)} ms`
    this.check(deliveries.length >= count, rule, `${deliveries.length} of ${count} came, ${waited}`)
    return deliveries
  }

  /** Closes a subscription, in bounded time. */
  async unsubscribe(inbox: Inbox, timeoutMs: number = PATIENCE_MS): Promise<void> {
    const call = { timeoutMs, signal: firesAfter(timeoutMs) }
    await this.ends(
      () => inbox.subscription.close(call),
      timeoutMs + 1_000,
      'a subscription closes in bounded time',
    )
  }

  // The world outside

  /** Whether the driver can consume at all. */
  get subscribes(): boolean {
    return this.#subscribes
  }

  /** Whether what is stored can be seen: a driver that discards, or only sends, is spared it. */
  get canSee(): boolean {
    const { read } = this.harness
    return !this.capabilities.discards && (read !== undefined || this.#subscribes)
  }

  /**
   * What the broker holds of a destination, found by another client where the harness has one, else taken from it by
   * a driver of its own. To be asked once for a destination: it may consume what it gives. It waits for `count` to be
   * there, and gives what is there in any case.
   */
  async stored(destination: Destination, count: number): Promise<readonly Stored[]> {
    const reader = await this.harness.read?.(destination)
    if (reader !== undefined) {
      this.evidence = 'observed'
      await until(async () => (await reader.count()) >= count, this.times.deliverMs)
      const found = await reader.all()
      this.log.add(`stored in ${destination.name}: ${found.length}`)
      return found
    }
    this.evidence ??= 'round-trip'
    const inbox = await this.subscribe(await this.open(), destination)
    await until(() => inbox.deliveries.length >= count, this.times.deliverMs)
    await this.quiet()
    await this.unsubscribe(inbox)
    return inbox.deliveries.map(({ body, headers, contentType, key }) => ({
      body,
      headers,
      ...(contentType === undefined ? {} : { contentType }),
      ...(key === undefined ? {} : { key }),
    }))
  }

  /** The ids of what the broker holds; see {@link stored}. What the suite has not made has the id `?`. */
  async storedIds(destination: Destination, count: number): Promise<string[]> {
    return (await this.stored(destination, count)).map(({ body }) => idOf(body) ?? '?')
  }

  /** Another client's view, for a case that needs `read`. */
  async reader(destination: Destination): Promise<Reader> {
    const reader = await this.harness.read?.(destination)
    if (reader === undefined) throw new Error(`${this.id} must need read`)
    this.evidence = 'observed'
    return reader
  }

  /** Waits until the destination is as old as it must be before its broker may be killed. */
  async age(destination: Destination): Promise<void> {
    const { settleTopologyMs = 0 } = this.harness
    this.log.add(`${destination.name} ages for ${settleTopologyMs} ms`)
    await until(() => false, settleTopologyMs)
  }

  /** A proxy before the broker, for a case that needs `address`. Closed after the case. */
  async proxy(): Promise<TcpProxy> {
    const { address } = this.harness.broker
    if (address === undefined) throw new Error(`${this.id} must need address`)
    const proxy = await openProxy(address, { seed: this.random.between(1, 2 ** 30) })
    this.after(() => proxy.close())
    return proxy
  }

  /** A way to open drivers whose connections can be cut, for a case that needs `cut`. */
  async breakable(): Promise<{ open(options?: OpenOptions): Promise<Driver>; cut(): Promise<void> }> {
    if (this.harness.faults?.cut !== undefined) {
      return {
        open: (options) => this.open(options),
        cut: () => this.fault('cut'),
      }
    }
    const proxy = await this.proxy()
    return {
      open: (options) => this.open({ ...options, address: proxy.address }),
      cut: async () => {
        this.log.add('the proxy cuts all connections')
        proxy.cut()
      },
    }
  }

  /** Whether connections can be cut: for a case of which a part needs that. */
  get canCut(): boolean {
    return this.harness.faults?.cut !== undefined || this.harness.broker.address !== undefined
  }

  /**
   * A driver that can be cut off as by a crash: where the suite's proxy can see to it, for good. For a case that needs
   * `cut`, or asks {@link canCut}.
   */
  async doomed(options: OpenOptions = {}): Promise<{ readonly driver: Driver; cutOff(): Promise<void> }> {
    if (this.harness.broker.address === undefined) {
      return { driver: await this.open(options), cutOff: () => this.fault('cut') }
    }
    const proxy = await this.proxy()
    return {
      driver: await this.open({ ...options, address: proxy.address }),
      cutOff: async () => {
        this.log.add('the proxy cuts all connections, and takes no others')
        await proxy.refuse()
        proxy.cut()
      },
    }
  }

  /** Lets something befall the broker, in a case that needs `faults.<name>`. */
  async fault<K extends keyof Faults>(name: K, ...args: Parameters<Faults[K]>): Promise<void> {
    const { faults } = this.harness
    const fault = faults?.[name] as ((...given: Parameters<Faults[K]>) => Promise<void>) | undefined
    if (fault === undefined) throw new Error(`${this.id} must need faults.${name}`)
    this.log.add(`fault: ${name}`)
    await fault.apply(faults, args)
  }

  // Waiting

  /** How long the case has been running, in milliseconds: for what must not be early. */
  get elapsedMs(): number {
    return performance.now() - this.#start
  }

  /** Waits until it is so. `withinMs`: as long as a delivery may take. */
  async until(condition: () => boolean | Promise<boolean>, rule: string, withinMs?: number): Promise<void> {
    const ms = withinMs ?? this.times.deliverMs
    this.check(await until(condition, ms), rule, `not within ${Math.round(ms)} ms`)
  }

  /** Watches that it is never so. `forMs`: for as long as silence must last to mean something. */
  async never(condition: () => boolean, rule: string, forMs?: number): Promise<void> {
    this.check(!(await until(condition, forMs ?? this.times.quietMs)), rule)
  }

  /** Waits for as long as silence must last to mean something. */
  async quiet(): Promise<void> {
    await until(() => false, this.times.quietMs)
  }

  /** `work` of the driver's ends within `ms`, and does not reject. The machine's own delays are not counted. */
  async ends<T>(work: () => T | Promise<T>, ms: number, rule: string): Promise<T> {
    const running = (async () => ({ value: await work() }))().catch((error: unknown) => ({ error }))
    const done = await atMost(ms, running)
    const { value: ended } = this.claims.found(done, rule, `not within ${Math.round(ms)} ms`)
    if ('error' in ended) throw new Violation(rule, `it rejected with ${describeError(ended.error)}`)
    return ended.value
  }

  /** What `work` rejects with, within `ms`. */
  async rejects(work: () => unknown, ms: number, rule: string): Promise<unknown> {
    const running = (async () => work())().then(
      (value) => ({ value }),
      (error: unknown) => ({ error }),
    )
    const done = await atMost(ms, running)
    const { value: ended } = this.claims.found(done, rule, `not within ${Math.round(ms)} ms`)
    if ('value' in ended) throw new Violation(rule, 'it resolved')
    return ended.error
  }

  // Claims

  check(holds: boolean, rule: string, difference?: string): void {
    this.claims.check(holds, rule, difference)
  }

  /** All of the call was settled without failure. */
  confirmed(call: Call, rule = 'a message that nothing stands against is confirmed'): void {
    for (const [index, outcome] of call.outcomes.entries()) {
      const text =
        outcome === undefined ? 'never settled' : outcome === 'confirmed' ? '' : describeFailure(outcome)
      const said = typeof outcome === 'object' && outcome.message !== undefined ? `, ${outcome.message}` : ''
      this.check(outcome === 'confirmed', rule, `${call.batch[index]?.id} was ${text}${said}`)
    }
  }

  /** What holds in every case. */
  finish(): void {
    this.#throwIfBroken()
    for (const call of this.#calls) {
      const [again] = call.settledAgain
      this.check(again === undefined, 'each message is settled once', `${again} was settled again`)
      this.check(
        call.strangers === 0,
        'only messages of the call are settled',
        `${call.strangers} of another one`,
      )
    }
  }

  /** Closes and undoes everything, whatever came before. */
  async dispose(): Promise<void> {
    for (const task of this.#ends.reverse())
      await atMost(
        5_000,
        (async () => task())().catch(() => {}),
      )
    const call = { timeoutMs: 2_000, signal: firesAfter(2_000) }
    const closing = [...this.#drivers].map((driver) => (async () => driver.close(call))().catch(() => {}))
    await atMost(3_000, Promise.all(closing))
  }

  #broken: Violation | undefined

  /** What a driver does wrong behind the case's back, it hears of at the next wait. */
  #broke(rule: string, error: unknown): void {
    this.#broken ??= new Violation(rule, describeError(error))
  }

  #throwIfBroken(): void {
    if (this.#broken !== undefined) throw this.#broken
  }
}

/** What a program aborts with. */
export const ABORTED: Failure = Object.freeze({
  code: 'ABORTED',
  reason: 'aborted',
  retryable: false,
  maybeSent: false,
  scope: 'message',
})

function describeError(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error && 'retryable' in error) {
    const { message } = error as Failure
    return `${describeFailure(error as Failure)}${message === undefined ? '' : `, ${message}`}`
  }
  return show(error)
}
