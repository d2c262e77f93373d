import { type Clock, timestamp } from '../clock.ts'
import { notAnObject } from '../codec.ts'
import type { Destination, Driver, Health } from '../driver.ts'
import {
  checkHeaders,
  checkKey,
  checkMessageId,
  checkName,
  checkTopic,
  PRIORITIES,
  type Priority,
} from '../envelope.ts'
import { type Failure, failure, invalid } from '../errors.ts'
import { askHealth } from '../health.ts'
import { countAtExit, release } from '../holders.ts'
import { sizeOf } from '../message.ts'
import { nearest, unknownKey } from '../options.ts'
import type { Encoded } from '../sender/buffer.ts'
import type { DriverStats } from '../sender/sender.ts'
import { within } from '../within.ts'
import { type Emission, Emit, Filtered, Outcome } from './emission.ts'
import type { EmitStats, Ledger } from './ledger.ts'
import { checkStrict, explain } from './payload.ts'
import { destinationsOf, type Route } from './route.ts'

/** What one emit may say about itself. */
export interface EmitOptions {
  /** Ordering key: messages of one key and destination arrive in the order of their emits. 1 to 255 characters. */
  readonly key?: string
  /** Carried beside the envelope. Names that begin with `notify-` are reserved. */
  readonly headers?: Readonly<Record<string, string>>
  /** Instead of the notifier's. One message for each. */
  readonly topics?: readonly string[]
  /** Instead of the notifier's: from now until it fails as DEADLINE, in milliseconds. */
  readonly timeoutMs?: number
  /** Ends it as ABORTED. What was handed to a driver by then may still be sent: `maybeSent` says so. */
  readonly signal?: AbortSignal
  /**
   * Instead of a fresh UUID: 1 to 128 visible ASCII characters. Two emits with one id count as the same
   * notification: where the broker deduplicates, the second one is dropped.
   */
  readonly messageId?: string
}

const OPTION_KEYS = ['key', 'headers', 'topics', 'timeoutMs', 'signal', 'messageId']

/** What a notifier or a child adds to each of its emits. Checked when it was made. */
export interface Voice {
  readonly publisherId: string
  readonly topics: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly strict: boolean
}

/** The sums of a notifier, and those of each of its drivers, in messages. */
export interface NotifierStats extends EmitStats {
  readonly drivers: readonly DriverStats[]
}

/** What each driver answered. */
export interface NotifierHealth {
  /** Every required driver could send now. */
  readonly ok: boolean
  readonly drivers: readonly (Health & { readonly driver: string })[]
}

/** How long drivers may take to close when nothing is left of the time that was given. */
const GRACE_MS = 200

/** What a notifier shares with its children: from one call of `info()` to the messages for every driver. */
export class Emitter {
  readonly ledger: Ledger
  readonly #drivers: readonly Driver[]
  /** Of the drivers that keep anything. */
  readonly #routes: readonly Route[]
  readonly #clock: Clock
  readonly #uncount: () => void
  readonly #destinations = new Map<string, readonly Destination[]>()
  #timestamp = { wall: Number.NaN, text: '' }
  #closing: Promise<NotifierStats> | undefined

  constructor(drivers: readonly Driver[], routes: readonly Route[], ledger: Ledger, clock: Clock) {
    this.#drivers = drivers
    this.#routes = routes
    this.ledger = ledger
    this.#clock = clock
    this.#uncount = countAtExit(() => ledger.open)
  }

  emit(
    voice: Voice,
    priority: Priority,
    event_type: string,
    payload: object,
    options?: EmitOptions,
  ): Emission {
    if (this.#routes.length === 0 && this.#closing === undefined) {
      this.ledger.filtered()
      return new Filtered()
    }
    try {
      return this.#start(voice, priority, event_type, payload, options ?? NO_OPTIONS)
    } catch (cause) {
      return this.#refuse({ ...invalid('option', 'An option of the emit cannot be read.'), cause })
    }
  }

  isEnabled(priority?: Priority, event_type?: string): boolean {
    if (this.#closing !== undefined) return false
    if (priority === undefined) return this.#routes.length > 0
    return this.#routes.some((route) =>
      event_type === undefined ? route.handles(priority) : route.matches(priority, event_type),
    )
  }

  stats(): NotifierStats {
    return { ...this.ledger.stats(), drivers: this.#routes.map(({ sender }) => sender.stats()) }
  }

  async health(timeoutMs: number): Promise<NotifierHealth> {
    const answers = await Promise.all(
      this.#drivers.map((driver) => askHealth(driver, this.#clock, timeoutMs)),
    )
    const drivers = answers.map((answer, index) => {
      const { name } = this.#drivers[index] as Driver
      const route = this.#routes.find(({ entry }) => entry === index)
      return { driver: name, ...answer, warnings: [...answer.warnings, ...(route?.sender.warnings() ?? [])] }
    })
    const ok = drivers.every(
      (answer, index) => answer.ok || this.#routes.find(({ entry }) => entry === index)?.required === false,
    )
    return { ok, drivers }
  }

  close(timeoutMs: number): Promise<NotifierStats> {
    this.#closing ??= this.#close(timeoutMs)
    return this.#closing
  }

  #start(
    voice: Voice,
    priority: Priority,
    event_type: string,
    payload: object,
    options: EmitOptions,
  ): Emission {
    const refusal =
      this.#closing === undefined ? checkEmit(priority, event_type, payload, options) : failure('CLOSED')
    if (refusal !== undefined) return this.#refuse(refusal, options.messageId)
    const {
      signal,
      key,
      topics = voice.topics,
      timeoutMs = voice.timeoutMs,
      messageId: id = globalThis.crypto.randomUUID(),
    } = options
    const routes = this.#routes.filter((route) => route.matches(priority, event_type))
    if (routes.length === 0) {
      this.ledger.filtered()
      return new Filtered(id)
    }
    if (isAborted(signal)) return this.#refuse(aborted(), id)
    const level = PRIORITIES.indexOf(priority)
    const destinations = topics.map((topic) => this.#destinationsOf(topic)[level] as Destination)

    // A program that is overloaded is spared the encoding of what would be refused.
    let overload: Failure | undefined
    const admissible = routes.some(({ sender }) =>
      destinations.some((destination) => {
        const verdict = sender.refusal(destination)
        overload ??= verdict
        return verdict === undefined
      }),
    )
    /** For each route; those of one codec share it. */
    const encoded: (Encoded | Failure)[] = []
    if (admissible) {
      const strict = voice.strict ? checkStrict(payload) : undefined
      if (strict !== undefined) return this.#refuse(strict, id)
      const envelope = {
        message_id: id,
        publisher_id: voice.publisherId,
        timestamp: this.#now(),
        priority,
        event_type,
        payload,
      }
      const headers = options.headers === undefined ? voice.headers : { ...voice.headers, ...options.headers }
      for (const { codec } of routes) {
        const shared = encoded[routes.findIndex((route) => route.codec === codec)]
        if (shared !== undefined) {
          encoded.push(shared)
          continue
        }
        try {
          const body = codec.encode(envelope)
          const { contentType } = codec
          encoded.push({ body, contentType, headers, key, size: sizeOf(body, headers, key) })
        } catch (error) {
          const fault = explain(payload, error)
          // What one codec cannot encode, another one may; what none can, was never a message.
          if (routes.every((route) => route.codec === codec)) return this.#refuse(fault, id)
          encoded.push(fault)
        }
      }
      // Encoding runs the program's own code, a toJSON, which may have done anything.
      if (this.#closing !== undefined) return this.#refuse(failure('CLOSED'), id)
      if (isAborted(signal)) return this.#refuse(aborted(), id)
    }

    const emit = new Emit(id, this.ledger)
    // Whatever can throw comes before the first count.
    if (signal !== undefined) listen(emit, signal)
    const decides = !routes.some(({ required }) => required)
    this.ledger.began(emit, timeoutMs)
    emit.hold()
    routes.forEach(({ sender, required }, index) => {
      for (const destination of destinations) {
        sender.admit(
          emit,
          destination,
          required || decides,
          encoded[index] ?? sender.refusal(destination) ?? (overload as Failure),
        )
      }
    })
    emit.letGo()
    return new Outcome(emit)
  }

  #refuse(because: Failure, id?: unknown): Emission {
    const emit = new Emit(typeof id === 'string' ? id : globalThis.crypto.randomUUID(), this.ledger)
    this.ledger.refused()
    emit.refuse(because)
    return new Outcome(emit)
  }

  /** Bounded, since a program may make topics up. */
  #destinationsOf(topic: string): readonly Destination[] {
    const known = this.#destinations.get(topic)
    if (known !== undefined) return known
    if (this.#destinations.size > 500) this.#destinations.clear()
    const made = destinationsOf(topic)
    this.#destinations.set(topic, made)
    return made
  }

  /** Formatting a date costs ten times as much as reading the clock. */
  #now(): string {
    const wall = this.#clock.wall()
    if (wall !== this.#timestamp.wall) this.#timestamp = { wall, text: timestamp(wall) }
    return this.#timestamp.text
  }

  async #close(timeoutMs: number): Promise<NotifierStats> {
    const until = this.#clock.now() + timeoutMs
    const closed = failure(
      'CLOSED',
      'close-timeout',
      `close() ended before the broker had it, after ${timeoutMs} ms.`,
    )
    const senders = this.#routes.map(({ sender }) => sender)
    await this.ledger.flush(timeoutMs)
    for (const sender of senders) sender.stop(closed)
    // What the drivers answer now still counts, and says better than we could what may have been sent.
    const left = Math.max(0, until - this.#clock.now()) + GRACE_MS
    const letGo = [this.ledger.flush(left)]
    const close = (driver: Driver) =>
      within(this.#clock, left, (signal) => release(driver, { timeoutMs: left, signal }), undefined)
    await Promise.allSettled([...letGo, ...this.#drivers.map(close)])
    for (const sender of senders) sender.finish(closed)
    this.ledger.close()
    this.#uncount()
    return this.stats()
  }
}

const NO_OPTIONS: EmitOptions = {}

const isAborted = (signal: AbortSignal | undefined) => signal?.aborted === true

const aborted = () => failure('ABORTED', undefined, 'The signal given with the emit fired.')

/** What can be said against an emit without looking at its drivers. */
function checkEmit(
  priority: Priority,
  event_type: string,
  payload: unknown,
  options: EmitOptions,
): Failure | undefined {
  if (!PRIORITIES.includes(priority)) {
    const near = typeof priority === 'string' ? nearest(priority, PRIORITIES) : undefined
    return invalid(
      'priority',
      `There is no such priority. ${near === undefined ? `There are ${PRIORITIES.join(', ')}.` : `Did you mean "${near}"?`}`,
    )
  }
  const name = checkName('event_type', event_type)
  if (name !== undefined) return name
  if (typeof payload !== 'object' || payload === null) return notAnObject()
  return options === NO_OPTIONS ? undefined : checkOptions(options)
}

function checkOptions(options: EmitOptions): Failure | undefined {
  const unknown = unknownKey('An emit', options, OPTION_KEYS)
  if (unknown !== undefined) return invalid('option', unknown)
  const { key, headers, topics, timeoutMs, signal, messageId } = options
  if (messageId !== undefined) {
    const failure = checkMessageId(messageId)
    if (failure !== undefined) return failure
  }
  if (key !== undefined) {
    const failure = checkKey(key)
    if (failure !== undefined) return failure
  }
  if (headers !== undefined) {
    const failure = checkHeaders(headers)
    if (failure !== undefined) return failure
  }
  if (timeoutMs !== undefined && !(typeof timeoutMs === 'number' && timeoutMs > 0)) {
    return invalid('option', 'timeoutMs must be a number of milliseconds above 0.')
  }
  if (signal !== undefined && typeof signal?.addEventListener !== 'function')
    return invalid('option', 'signal must be an AbortSignal.')
  if (topics === undefined) return undefined
  if (!Array.isArray(topics) || topics.length === 0 || new Set(topics).size < topics.length) {
    return invalid('option', 'topics must be an array of at least one topic, each once.')
  }
  for (const topic of topics) {
    const failure = checkTopic(topic)
    if (failure !== undefined) return failure
  }
  return undefined
}

function listen(emit: Emit, signal: AbortSignal): void {
  const onAbort = () => emit.end(aborted())
  signal.addEventListener('abort', onAbort, { once: true })
  emit.release = () => signal.removeEventListener('abort', onAbort)
}
