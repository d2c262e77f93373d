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
  type CallOptions,
  type Capabilities,
  type Codec,
  type Driver,
  type Envelope,
  type ErrorCode,
  type Failure,
  jsonCodec,
  NotifyError,
  type OutboundMessage,
  type Settle,
  type Status,
} from '@notify/core'
import { HEADER_NAME, type MemoryBroker, type MemoryBrokerOptions, memoryBroker, sizeOf } from './broker.ts'
import { Journal, type Match, type WaitOptions, Waits } from './journal.ts'
import { type Consumer, MAX_DELAY_MS } from './queue.ts'

export type { Held, Inbound, MemoryBroker, MemoryBrokerOptions } from './broker.ts'
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

/** How {@link MemoryDriver.fail} fails. Whatever is left out follows from the code. */
export interface FailOptions extends Partial<Omit<Failure, 'code'>> {
  /** How many messages. Default: 1. */
  readonly times?: number
  /** Which messages. Default: all. */
  readonly when?: (message: OutboundMessage) => boolean
  /** The message is stored all the same, as when an answer gets lost. Say `maybeSent: true` with it. */
  readonly stored?: boolean
}

/** A driver, and what a test needs beside it. */
export interface MemoryDriver extends Driver {
  readonly subscribe: NonNullable<Driver['subscribe']>
  readonly observe: NonNullable<Driver['observe']>
  /** The broker. */
  native(): MemoryBroker

  /**
   * What was confirmed through this driver so far, the oldest first: everything, or what matches. Once for
   * each topic; without dead letters, which a predicate finds by their topic, `notifications.dead`.
   *
   * @throws a NotifyError, `CORRUPT`, for bytes that no codec of `codecs` understands.
   */
  sent(match?: Match): Envelope[]
  /** The first that matches, of what was confirmed or will be. Rejects with `DEADLINE` or `CLOSED`. */
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

/** How many steps of promises a handler's last emit may take to reach the driver. */
const STEPS = 32

/** One call of `publish` that the broker has not answered. */
interface Call {
  readonly batch: readonly OutboundMessage[]
  readonly settle: Settle
  readonly signal: AbortSignal
  readonly onAbort: () => void
}

/** A driver on a broker in this process. */
export function memory(options: MemoryOptions = {}): MemoryDriver {
  const broker = options.broker ?? memoryBroker(options)
  const declares = (options.topology ?? 'declare') === 'declare'
  const groups = options.groups ?? [null]
  const capabilities = toCapabilities(options, broker)
  const journal = new Journal(options.record ?? 10_000, options.codecs ?? [jsonCodec()])
  const waits = new Waits()
  const consumers = new Set<Consumer>()
  const listeners = new Set<(status: Status) => void>()
  const scripted: { failure: Failure; times: number; options: FailOptions }[] = []
  const held = new Set<Call>()
  let open = 0
  let closing: Promise<void> | undefined
  let connected = true
  let blocked = false
  let stalled = false

  /** Why nothing can be done now. */
  function refusal(): Failure | undefined {
    if (closing !== undefined) return closed()
    return connected ? undefined : lost()
  }

  function state(): Status {
    if (!connected) return { state: 'down', failure: lost() }
    return blocked ? { state: 'blocked', failure: blockedNow() } : { state: 'up' }
  }

  /** Makes a change, and tells of it where there is something to tell. */
  function change(make: () => void): void {
    const before = state().state
    make()
    const now = state()
    if (now.state === before || closing !== undefined) return
    for (const listener of [...listeners]) {
      try {
        listener(now)
      } catch {
        // The contract leaves it with the listener. The others must still hear.
      }
    }
  }

  function attempt(message: OutboundMessage): Failure | undefined {
    const failure = check(message, capabilities.maxMessageBytes)
    if (failure !== undefined) return failure
    const script = scripted.find(({ options: { when } }) => when === undefined || when(message))
    if (script === undefined) return store(message)
    script.times--
    if (script.times <= 0) scripted.splice(scripted.indexOf(script), 1)
    if (script.options.stored === true) store(message)
    return script.failure
  }

  function store(message: OutboundMessage): Failure | undefined {
    return broker.put(message, (stored) => journal.add(message.destination, stored))
  }

  /** One call, at once; its outcomes are told in a turn of their own, never from within `publish`. */
  function carry({ batch, settle, signal }: Omit<Call, 'onAbort'>): void {
    const outcomes: (Failure | undefined)[] = []
    broker.turns.add(() => {
      broker.turns.spend(batch.length)
      open -= batch.length
      batch.forEach((message, index) => {
        if (signal.aborted)
          settle(message, { ...(signal.reason as Failure), maybeSent: outcomes[index] === undefined })
        else settle(message, outcomes[index])
      })
    })
    const destination = batch[0]?.destination
    if (declares && destination !== undefined) {
      broker.declare(destination.name, destination.topic.endsWith('.dead') ? [null] : groups)
    }
    let failedKeys: Set<string> | undefined
    for (const message of batch) {
      const failure =
        message.key !== undefined && failedKeys?.has(message.key) === true
          ? AFTER_FAILURE
          : guard(message, attempt)
      outcomes.push(failure)
      if (failure !== undefined && message.key !== undefined) {
        failedKeys ??= new Set()
        failedKeys.add(message.key)
      }
    }
  }

  function answer(batch: readonly OutboundMessage[], settle: Settle, failure: Failure): void {
    broker.turns.add(() => {
      open -= batch.length
      for (const message of batch) settle(message, failure)
    })
  }

  /** The broker has it in hand and says nothing. */
  function hold(batch: readonly OutboundMessage[], settle: Settle, signal: AbortSignal): void {
    const call: Call = {
      batch,
      settle,
      signal,
      onAbort: () => letGo(call, { ...(signal.reason as Failure), maybeSent: true }),
    }
    held.add(call)
    signal.addEventListener('abort', call.onAbort)
  }

  function letGo(call: Call, failure?: Failure): void {
    held.delete(call)
    call.signal.removeEventListener('abort', call.onAbort)
    if (failure === undefined) carry(call)
    else answer(call.batch, call.settle, failure)
  }

  function release(): void {
    if (!blocked && !stalled) for (const call of [...held]) letGo(call)
  }

  function endAll(failure: Failure, reason?: Failure): void {
    for (const call of [...held]) letGo(call, { ...failure, maybeSent: true })
    for (const consumer of [...consumers]) consumer.end(reason)
    consumers.clear()
  }

  return {
    contract: 1,
    name: 'memory',
    capabilities,

    publish(batch, settle, { signal }) {
      open += batch.length
      const failure =
        refusal() ?? (signal.aborted ? { ...(signal.reason as Failure), maybeSent: false } : undefined)
      if (failure !== undefined) answer(batch, settle, failure)
      else if (blocked || stalled) hold(batch, settle, signal)
      else carry({ batch, settle, signal })
    },

    async subscribe(source, onDelivery, { signal, prefetch, from = 'new' }) {
      // An answer takes a turn, as anywhere: until then the caller can change its mind.
      await new Promise<void>((resolve) => broker.turns.add(resolve))
      const failure = refusal() ?? (signal.aborted ? (signal.reason as Failure) : undefined)
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

    observe(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },

    async health() {
      const failure = refusal() ?? (blocked ? blockedNow() : undefined)
      const warnings = broker
        .forgotten()
        .map((queue) => `Nobody consumes ${queue}, and it is more than half full.`)
      return failure === undefined ? { ok: true, warnings } : { ok: false, warnings, failure }
    },

    close() {
      closing ??= new Promise((resolve) => {
        endAll(closed())
        waits.end(closed())
        listeners.clear()
        // Turns keep their order: what was handed over before is told before this resolves.
        broker.turns.add(resolve)
      })
      return closing
    },

    native: () => broker,

    sent: (match) => journal.find(match),

    waitFor: (match, { timeoutMs } = {}) => journal.next(match, waits, timeoutMs),

    idle({ timeoutMs } = {}) {
      const busy = () => [...(open === 0 ? [] : [`publishes (${open})`]), ...broker.busy()].join(', ')
      return waits.add(
        timeoutMs,
        () => `Not idle: ${busy()}.`,
        (resolve) => {
          let looking = false
          const look = async () => {
            if (looking) return
            looking = true
            // What a handler emitted as its last act takes a few steps to get here.
            for (let step = 0; step < STEPS && busy() === ''; step++) await undefined
            looking = false
            if (busy() === '') resolve()
          }
          const stop = broker.turns.listen(() => void look())
          void look()
          return stop
        },
      )
    },

    fail(code, options = {}) {
      const { times = 1, when: _when, stored: _stored, ...rest } = options
      const failure = { ...fault(code, 'scripted', 'A test asked for it.', likely(code)), ...rest }
      const script = { failure, times, options }
      scripted.push(script)
      return () => {
        const index = scripted.indexOf(script)
        if (index !== -1) scripted.splice(index, 1)
      }
    },

    block: () =>
      change(() => {
        blocked = true
      }),
    unblock: () =>
      change(() => {
        blocked = false
        release()
      }),
    stall: () => {
      stalled = true
    },
    resume: () => {
      stalled = false
      release()
    },
    disconnect: () =>
      change(() => {
        connected = false
        endAll(lost(), lost())
      }),
    connect: () =>
      change(() => {
        connected = true
      }),
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

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/

/** What core has checked already for what a program emits, and nobody has for other callers. */
function check({ body, headers, key }: OutboundMessage, maxMessageBytes: number): Failure | undefined {
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (!HEADER_NAME.test(name)) return fault('INVALID', 'header-name', 'A header name is not well-formed.')
    if (typeof value !== 'string' || CONTROL.test(value) || !value.isWellFormed()) {
      return fault('INVALID', 'header-value', `The value of header ${name} is not well-formed.`)
    }
  }
  if (sizeOf(body, headers, key) <= maxMessageBytes) return undefined
  return fault('TOO_LARGE', 'message-bytes', `The message is larger than ${maxMessageBytes} bytes.`)
}

/** `publish` must not throw, whatever it is given. */
function guard<T>(input: T, attempt: (input: T) => Failure | undefined): Failure | undefined {
  try {
    return attempt(input)
  } catch (cause) {
    return fault('UNKNOWN', 'threw', 'The message could not be read.', { cause })
  }
}

function fault(code: ErrorCode, reason: string, message: string, rest: Partial<Failure> = {}): Failure {
  return { code, reason, message, retryable: false, maybeSent: false, scope: 'message', ...rest }
}

const closed = () => fault('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })
const lost = () => fault('UNAVAILABLE', 'disconnected', 'The broker is disconnected.', likely('UNAVAILABLE'))
const blockedNow = () =>
  fault('THROTTLED', 'blocked', 'The broker is blocked.', { retryable: true, scope: 'transport' })

const AFTER_FAILURE: Failure = Object.freeze(
  fault('UNAVAILABLE', 'after-failure', 'An earlier message of this key failed.', { retryable: true }),
)

/** What a failure of this code usually looks like. */
function likely(code: ErrorCode): Partial<Failure> {
  const retryable = code === 'UNAVAILABLE' || code === 'THROTTLED'
  if (['UNAVAILABLE', 'UNAUTHENTICATED', 'FORBIDDEN', 'CLOSED'].includes(code))
    return { retryable, scope: 'transport' }
  if (['THROTTLED', 'UNROUTABLE', 'CONFLICT'].includes(code)) return { retryable, scope: 'destination' }
  return {}
}
