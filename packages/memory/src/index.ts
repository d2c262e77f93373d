/**
 * An in-process broker, and the driver for it. It is the reference for the driver contract, and what a
 * program is tested with.
 *
 * | here | what it is |
 * |---|---|
 * | destination | one queue for each group, first in, first out, by the destination's name |
 * | default group | its queue is made by the first publish or subscribe, and keeps what nobody consumes |
 * | named group | its queue is made by its first subscribe, or by every publish: `groups: ['billing']` |
 * | confirmed | stored in all queues of the destination, or in none; all of it ends with the process |
 *
 * At least once to each group, in order, until the process ends. Nothing leaves the process.
 *
 * @example
 * const driver = memory()
 * const notifier = createNotifier({ publisherId: 'shop', driver })
 * await placeOrder(notifier)
 * expect(driver.sent('order.placed')[0]?.payload).toEqual({ order_id: 12 })
 *
 * @module
 */
import {
  type Capabilities,
  type Codec,
  checkMessage,
  checkOptions,
  type Driver,
  type Envelope,
  type ErrorCode,
  type Failure,
  failure as fault,
  jsonCodec,
  type OutboundMessage,
  type Settle,
  settleAll,
} from '@notify/core'
import { BROKER_OPTIONS, type MemoryBroker, type MemoryBrokerOptions, memoryBroker } from './broker.ts'
import { AFTER_FAILURE, checkCount, closed, refuse } from './failures.ts'
import { type FailOptions, Faults } from './faults.ts'
import { Journal, type Match, type WaitOptions, Waits } from './journal.ts'
import { type Consumer, MAX_DELAY_MS } from './queue.ts'

export type { Held, Inbound, MemoryBroker, MemoryBrokerOptions } from './broker.ts'
export type { FailOptions } from './faults.ts'
export type { Match, WaitOptions } from './journal.ts'
export { memoryBroker }

/** Options of {@link memory}. Those of the broker are for the one that it makes when none is given. */
export interface MemoryOptions extends MemoryBrokerOptions {
  /** The broker, to share it among drivers. Left as it is when the driver is closed. Default: a new one. */
  readonly broker?: MemoryBroker
  /** `declare`: makes what is missing. `check`, `none`: what is missing is `UNROUTABLE`. Default: `declare`. */
  readonly topology?: 'declare' | 'check' | 'none'
  /** For whom `publish` makes queues, `null` being the default group. Topics `*.dead` have that one alone. */
  readonly groups?: readonly (string | null)[]
  /** The largest message: body, key and headers, in bytes. Default: 64 MiB. */
  readonly maxMessageBytes?: number
  /** How many of the newest notifications `sent` and `waitFor` see, within 64 MiB. Default: 10,000. */
  readonly record?: number
  /** How `sent` and `waitFor` decode; the first that can, does. Default: the JSON codec. */
  readonly codecs?: readonly Codec[]
}

/** A driver, and what a test needs beside it. */
export interface MemoryDriver extends Driver {
  readonly subscribe: NonNullable<Driver['subscribe']>
  readonly observe: NonNullable<Driver['observe']>
  /** The broker. */
  native(): MemoryBroker

  /**
   * What the broker took through this driver so far, the oldest first: everything, or what matches. Once for
   * each topic; without dead letters, which a predicate finds by their topic, `notifications.dead`.
   *
   * @throws a NotifyError, `CORRUPT`, for bytes that no codec of `codecs` understands; such dead letters are
   * left out.
   */
  sent(match?: Match): Envelope[]
  /** The first that matches, of what it took or will take. Rejects with `DEADLINE` or `CLOSED`. */
  waitFor(match: Match, options?: WaitOptions): Promise<Envelope>
  /**
   * Resolves when all that this driver was handed is settled, and no queue of the broker that has a consumer
   * holds anything: waiting, delayed, or being handled. What the notifier still buffers is not seen: await
   * emits, or `flush()`, before. Rejects with `DEADLINE` or `CLOSED`.
   */
  idle(options?: WaitOptions): Promise<void>

  /** The next messages fail so. Returns a function that takes it back. */
  fail(code: ErrorCode, options?: FailOptions): () => void
  /** The broker's alarm: status `blocked`, and what is published waits until `unblock`. */
  block(): void
  unblock(): void
  /** The broker falls silent without a word: what is published waits until `resume`. */
  stall(): void
  resume(): void
  /** The connection breaks: publishes are `UNAVAILABLE`, subscriptions end, their messages go back. */
  disconnect(): void
  /** It can be made again. After `disconnect(); connect()` the next call finds everything in order. */
  connect(): void
}

/** One call of `publish` that the broker has not answered. */
interface Call {
  readonly batch: readonly OutboundMessage[]
  readonly settle: Settle
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/** A driver on a broker in this process. */
export function memory(options: MemoryOptions = {}): MemoryDriver {
  checkMemoryOptions(options)
  const { broker = memoryBroker(brokerOptions(options)), topology = 'declare', groups = [null] } = options
  const declares = topology === 'declare'
  const capabilities = toCapabilities(options, broker)
  const journal = new Journal(options.record ?? 10_000, options.codecs ?? [jsonCodec()])
  const waits = new Waits()
  const faults = new Faults((failure) => loseAll(failure, failure), release)
  const consumers = new Set<Consumer>()
  const held = new Set<Call>()
  let open = 0
  let closing: Promise<void> | undefined

  /** Why nothing can be done now. */
  function refusal(signal?: AbortSignal): Failure | undefined {
    if (closing !== undefined) return closed()
    if (signal?.aborted === true) return { ...(signal.reason as Failure), maybeSent: false }
    const { state, failure } = faults.status
    return state === 'down' ? failure : undefined
  }

  function store(message: OutboundMessage): Failure | undefined {
    return broker.put(message, (stored) => journal.add(message.destination, stored))
  }

  function attempt(message: OutboundMessage): Failure | undefined {
    try {
      const failure = checkMessage(message, capabilities.maxMessageBytes)
      if (failure !== undefined) return failure
      const script = faults.script(message)
      if (script === undefined) return store(message)
      if (script.stored) store(message)
      return script.failure
    } catch (cause) {
      return fault('UNKNOWN', 'unreadable', 'The message could not be read.', { cause })
    }
  }

  /** Stores at once, and answers in a turn of its own: never from within `publish`. */
  function carry({ batch, settle, signal }: Omit<Call, 'onAbort'>): void {
    const outcomes: (Failure | undefined)[] = []
    broker.answers.add(() => {
      broker.answers.spend(batch.length)
      open -= batch.length
      batch.forEach((message, index) => {
        const failure = outcomes[index]
        if (!signal.aborted) settle(message, failure)
        else settle(message, { ...(signal.reason as Failure), maybeSent: failure === undefined })
      })
    })
    const { name, topic } = (batch[0] as OutboundMessage).destination
    if (declares) broker.declare(name, topic.endsWith('.dead') ? [null] : groups)
    const failedKeys = new Set<string>()
    for (const message of batch) {
      const { key } = message
      const failure = key !== undefined && failedKeys.has(key) ? AFTER_FAILURE : attempt(message)
      if (key !== undefined && failure !== undefined) failedKeys.add(key)
      outcomes.push(failure)
    }
  }

  function answer({ batch, settle }: Pick<Call, 'batch' | 'settle'>, failure: Failure): void {
    broker.answers.add(() => {
      open -= batch.length
      settleAll(batch, settle, failure)
    })
  }

  /** The broker has it in hand, and says nothing. */
  function hold({ batch, settle, signal }: Omit<Call, 'onAbort'>): void {
    const onAbort = () => drop(call, signal.reason as Failure)
    const call = { batch, settle, signal, onAbort }
    held.add(call)
    signal.addEventListener('abort', onAbort)
  }

  function take(call: Call): void {
    held.delete(call)
    call.signal.removeEventListener('abort', call.onAbort)
  }

  function drop(call: Call, failure: Failure): void {
    take(call)
    answer(call, { ...failure, maybeSent: true })
  }

  function release(): void {
    for (const call of [...held]) {
      take(call)
      carry(call)
    }
  }

  function loseAll(failure: Failure, reason: Failure | undefined): void {
    for (const call of [...held]) drop(call, failure)
    for (const consumer of [...consumers]) consumer.end(reason)
  }

  return {
    contract: 1,
    name: 'memory',
    capabilities,

    publish(batch, settle, { signal }) {
      if (batch.length === 0) return
      open += batch.length
      const call = { batch, settle, signal }
      const failure = refusal(signal)
      if (failure !== undefined) answer(call, failure)
      else if (faults.holding) hold(call)
      else carry(call)
    },

    async subscribe(source, onDelivery, { signal, prefetch, from = 'new' }) {
      // An answer takes a turn, as anywhere: until then the caller can change its mind.
      await new Promise<void>((resolve) => broker.answers.add(resolve))
      const failure = refusal(signal)
      if (failure !== undefined) throw failure
      if (from === 'earliest' && !capabilities.history) {
        throw fault('UNSUPPORTED', 'from', 'This broker keeps no history: set the option history.')
      }
      const consumer = broker.consume(source, onDelivery, { prefetch, from, declare: declares })
      if ('code' in consumer) throw consumer
      consumers.add(consumer)
      void consumer.ended.then(() => consumers.delete(consumer))
      return consumer
    },

    observe: (listener) => faults.observe(listener),

    async health() {
      const failure = refusal() ?? faults.trouble
      const warnings = broker
        .forgotten()
        .map((queue) => `Nobody consumes ${queue}, which is more than half full.`)
      return failure === undefined ? { ok: true, warnings } : { ok: false, warnings, failure }
    },

    close() {
      closing ??= new Promise((resolve) => {
        loseAll(closed(), undefined)
        waits.end(closed())
        faults.close()
        // Answers keep their order: what was handed over before is answered before this resolves.
        broker.answers.add(resolve)
      })
      return closing
    },

    native: () => broker,

    sent: (match) => journal.find(match),
    waitFor: (match, { timeoutMs } = {}) => journal.next(match, waits, timeoutMs),
    idle: ({ timeoutMs } = {}) =>
      waits.quiet(
        () => [...(open === 0 ? [] : [`publish (${open})`]), ...broker.busy()],
        broker.listen,
        timeoutMs,
      ),

    fail: (code, failOptions) => faults.fail(code, failOptions),
    block: () => faults.block(true),
    unblock: () => faults.block(false),
    stall: () => faults.stall(true),
    resume: () => faults.stall(false),
    disconnect: () => faults.connect(false),
    connect: () => faults.connect(true),
  }
}

function toCapabilities(options: MemoryOptions, broker: MemoryBroker): Capabilities {
  const maxMessageBytes = options.maxMessageBytes ?? 64 * 2 ** 20
  const maxBatchBytes = Math.max(maxMessageBytes, 64 * 2 ** 20)
  return Object.freeze({
    confirms: 'process',
    discards: false,
    ordering: 'key',
    deduplication: broker.windowMs === 0 ? false : Object.freeze({ windowMs: broker.windowMs }),
    requeue: true,
    delay: Object.freeze({ maxMs: MAX_DELAY_MS }),
    deliveryCount: true,
    groups: true,
    sharing: 'message',
    history: broker.history > 0,
    maxMessageBytes,
    maxBatch: 1_000,
    maxBatchBytes,
    window: Object.freeze({ messages: 2_000, bytes: maxBatchBytes }),
  })
}

const OPTIONS = ['broker', 'topology', 'groups', 'maxMessageBytes', 'record', 'codecs', ...BROKER_OPTIONS]

function checkMemoryOptions(options: MemoryOptions): void {
  checkOptions('memory', options, OPTIONS)
  checkCount('maxMessageBytes', options.maxMessageBytes)
  checkCount('record', options.record)
  const { topology, groups, broker } = options
  if (topology !== undefined && !['declare', 'check', 'none'].includes(topology)) {
    refuse('topology must be "declare", "check" or "none".')
  }
  if (groups !== undefined && groups.length === 0)
    refuse('groups must name a group, or hold null for the default one.')
  if (broker !== undefined && Object.keys(brokerOptions(options)).length > 0) {
    refuse(`${BROKER_OPTIONS.join(', ')} belong to the broker that is given: memoryBroker({ ... }).`)
  }
}

function brokerOptions({ limit, deduplication, history }: MemoryOptions): MemoryBrokerOptions {
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(deduplication === undefined ? {} : { deduplication }),
    ...(history === undefined ? {} : { history }),
  }
}
