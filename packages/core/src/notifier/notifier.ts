import { type Clock, systemClock } from '../clock.ts'
import { type Codec, jsonCodec } from '../codec.ts'
import type { Driver } from '../driver.ts'
import { checkHeaders, checkName, checkTopic, type Priority } from '../envelope.ts'
import { type Failure, NotifyError } from '../errors.ts'
import { hold } from '../holders.ts'
import { type Hooks, StatusTeller } from '../observe.ts'
import {
  backoffOf,
  checkBoolean,
  checkClock,
  checkCount,
  checkDriver,
  checkFunction,
  checkMs,
  checkOptions,
  durationOr,
  refuse,
} from '../options.ts'
import { Sender } from '../sender/sender.ts'
import type { Emission } from './emission.ts'
import { type EmitOptions, Emitter, type NotifierHealth, type NotifierStats, type Voice } from './emitter.ts'
import { Ledger } from './ledger.ts'
import { compileWhen, type DriverEntry, type Route } from './route.ts'

/** Any event type, with any object as payload. A map of one's own makes both exact: `createNotifier<MyEvents>(...)`. */
export interface AnyEvents {
  readonly [event_type: string]: object
}

/**
 * Emits one notification. Never throws, and may be left floating. The payload is encoded before the call
 * returns: what is changed afterwards changes nothing on the wire.
 */
export type EmitMethod<Events extends object = AnyEvents> = <T extends keyof Events & string>(
  event_type: T,
  payload: Events[T],
  options?: EmitOptions,
) => Emission

/** What a program emits with. Its methods may be taken off it and passed around. */
export interface ChildNotifier<Events extends object = AnyEvents> {
  readonly debug: EmitMethod<Events>
  readonly sample: EmitMethod<Events>
  readonly info: EmitMethod<Events>
  readonly audit: EmitMethod<Events>
  readonly warn: EmitMethod<Events>
  readonly error: EmitMethod<Events>
  readonly critical: EmitMethod<Events>
  /** For a priority that is known only at run time. */
  notify<T extends keyof Events & string>(
    priority: Priority,
    event_type: T,
    payload: Events[T],
    options?: EmitOptions,
  ): Emission
  /** Another voice over the same drivers, buffers, hooks and sums: one for each component, for instance. */
  child(options: ChildOptions): ChildNotifier<Events>
  /**
   * Whether an emit would go anywhere: at all, at a priority, or exactly. For payloads that are dear to make.
   */
  isEnabled(priority?: Priority, event_type?: keyof Events & string): boolean
  /**
   * Resolves `true` when everything emitted before the call has ended, at every driver; `false` when
   * `timeoutMs` has passed first. Default: no limit but the emits' own deadlines.
   */
  flush(options?: { readonly timeoutMs?: number }): Promise<boolean>
  /**
   * Asks every driver whether it could send now. Never rejects, and ends within `timeoutMs` (5,000 ms): the
   * check to make when a program starts.
   */
  health(options?: { readonly timeoutMs?: number }): Promise<NotifierHealth>
  /** The sums at this instant: `emitted = confirmed + failed + shed + filtered + pending`. */
  stats(): NotifierStats
}

/** A notifier, with its end. */
export interface Notifier<Events extends object = AnyEvents> extends ChildNotifier<Events>, AsyncDisposable {
  /**
   * Takes no more emits, waits for what is pending, at most `timeoutMs` (5,000 ms), ends the rest as CLOSED,
   * and closes the drivers that nobody else holds, for which it has 200 ms more. Resolves with the final
   * sums, in which nothing is pending. Never rejects; a second call returns the first one's promise.
   */
  close(options?: { readonly timeoutMs?: number }): Promise<NotifierStats>
}

/** What may differ between a notifier and its children. */
export interface ChildOptions {
  /** Who emits: `compute.host1`. 1 to 255 characters. */
  readonly publisherId?: string
  /** Where an emit goes that names no topics itself. Default: `['notifications']`. */
  readonly topics?: readonly string[]
  /** Headers of every emit. */
  readonly headers?: Readonly<Record<string, string>>
  /** From an emit until it fails as DEADLINE. Default: 60,000 ms. */
  readonly timeoutMs?: number
  /** Refuses what JSON would lose without a word: NaN, Map, bytes, functions. Costs a walk of each payload. */
  readonly strict?: boolean
}

interface CommonOptions extends ChildOptions, Hooks {
  readonly publisherId: string
  /** Default: `jsonCodec()`. */
  readonly codec?: Codec
  /** What one driver may hold, in flight included. Default: 10,000 messages, 32 MiB. */
  readonly buffer?: { readonly messages?: number; readonly bytes?: number }
  /** How long a driver may take over one attempt. Default: 30,000 ms. */
  readonly attemptTimeoutMs?: number
  /** As oslo has it: -1 retries until the deadline, 0 makes one attempt, N retries N times. Default: -1. */
  readonly retry?: number
  /** Between the attempts of one message. Default: 100 to 10,000 ms, full jitter. */
  readonly backoff?: { readonly minMs?: number; readonly maxMs?: number }
  /** Time and chance, for tests. */
  readonly clock?: Clock
}

/** One driver, or several. */
export type NotifierOptions = CommonOptions &
  (
    | { readonly driver: Driver; readonly drivers?: never }
    | { readonly drivers: readonly DriverEntry[]; readonly driver?: never }
  )

const CHILD_KEYS = ['publisherId', 'topics', 'headers', 'timeoutMs', 'strict'] as const
const KEYS = [
  ...CHILD_KEYS,
  'driver',
  'drivers',
  'codec',
  'buffer',
  'attemptTimeoutMs',
  'retry',
  'backoff',
  'clock',
  'onFailure',
  'onStatus',
]

/**
 * Makes what a program emits with. Connects to nothing yet.
 *
 * @throws NotifyError `INVALID` for an option that cannot be.
 *
 * @example
 * const notifier = createNotifier({ publisherId: 'orders.host1', driver: rabbit({ url }) })
 * await notifier.warn('order.delayed', { order_id: 12 })
 */
export function createNotifier<Events extends object = AnyEvents>(
  options: NotifierOptions,
): Notifier<Events> {
  checkOptions('createNotifier', options, KEYS)
  const { clock = systemClock, codec: fallback = jsonCodec() } = options
  const voice = voiceOf(options, {
    publisherId: '',
    topics: ['notifications'],
    headers: {},
    timeoutMs: 60_000,
    strict: false,
  })
  const senderOptions = senderOptionsOf(options)
  checkCodec(fallback)
  checkClock(clock)
  checkFunction('onFailure', options.onFailure)
  checkFunction('onStatus', options.onStatus)
  const entries = entriesOf(options)
  // Every rule is compiled before a driver is held, so that a bad option leaves nothing behind.
  const rules = entries.map(({ when }) => compileWhen(when))
  const routes: Route[] = []
  entries.forEach(({ driver, codec = fallback, required = true }, entry) => {
    hold(driver)
    if (driver.capabilities.discards) return
    const sender = new Sender(driver, senderOptions, new StatusTeller(driver, options.onStatus, clock), clock)
    routes.push({ entry, sender, codec, required, ...(rules[entry] as ReturnType<typeof compileWhen>) })
  })
  const emitter = new Emitter(
    entries.map(({ driver }) => driver),
    routes,
    new Ledger(clock, options),
    clock,
  )
  const close: Notifier['close'] = ({ timeoutMs } = {}) =>
    emitter.close(durationOr(5_000, 'close', timeoutMs))
  return {
    ...childOf<Events>(emitter, voice),
    close,
    async [Symbol.asyncDispose]() {
      await close()
    },
  }
}

function childOf<Events extends object>(emitter: Emitter, voice: Voice): ChildNotifier<Events> {
  const method =
    (priority: Priority): EmitMethod<Events> =>
    (event_type, payload, options) =>
      emitter.emit(voice, priority, event_type, payload as object, options)
  return {
    debug: method('DEBUG'),
    sample: method('SAMPLE'),
    info: method('INFO'),
    audit: method('AUDIT'),
    warn: method('WARN'),
    error: method('ERROR'),
    critical: method('CRITICAL'),
    notify: (priority, event_type, payload, options) =>
      emitter.emit(voice, priority, event_type, payload as object, options),
    child(options) {
      checkOptions('child', options, CHILD_KEYS)
      return childOf(emitter, voiceOf(options, voice))
    },
    isEnabled: (priority, event_type) => emitter.isEnabled(priority, event_type),
    flush: ({ timeoutMs } = {}) =>
      emitter.ledger.flush(durationOr(Number.POSITIVE_INFINITY, 'flush', timeoutMs)),
    health: ({ timeoutMs } = {}) => emitter.health(durationOr(5_000, 'health', timeoutMs)),
    stats: () => emitter.stats(),
  }
}

/** What the options say, over what was there before. */
function voiceOf(options: ChildOptions, base: Voice): Voice {
  const {
    publisherId = base.publisherId,
    topics = base.topics,
    headers = {},
    timeoutMs = base.timeoutMs,
    strict = base.strict,
  } = options
  if (publisherId === '')
    refuse('publisherId is missing: it says who emits, such as "compute.host1".', 'publisher-id')
  check(checkName('publisher_id', publisherId))
  if (!Array.isArray(topics) || topics.length === 0) refuse('topics must be an array of at least one topic.')
  for (const topic of topics) check(checkTopic(topic))
  check(checkHeaders(headers))
  checkMs('timeoutMs', timeoutMs)
  checkBoolean('strict', strict)
  return {
    publisherId,
    topics: [...new Set(topics)],
    headers: { ...base.headers, ...headers },
    timeoutMs,
    strict,
  }
}

function check(failure: Failure | undefined): void {
  if (failure !== undefined) throw new NotifyError(failure)
}

function senderOptionsOf({
  buffer = {},
  backoff = {},
  retry = -1,
  attemptTimeoutMs = 30_000,
}: NotifierOptions) {
  checkOptions('buffer', buffer, ['messages', 'bytes'])
  const { messages = 10_000, bytes = 32 * 2 ** 20 } = buffer
  checkCount('buffer.messages', messages, 1)
  checkCount('buffer.bytes', bytes, 1)
  checkMs('attemptTimeoutMs', attemptTimeoutMs)
  if (retry !== -1 && retry !== Number.POSITIVE_INFINITY && !(Number.isInteger(retry) && retry >= 0)) {
    refuse('retry must be -1, to retry until the deadline, or a whole number of retries.')
  }
  return {
    buffer: { messages, bytes },
    attemptTimeoutMs,
    retry: retry === Number.POSITIVE_INFINITY ? -1 : retry,
    backoff: backoffOf('backoff', backoff, { minMs: 100, maxMs: 10_000 }),
  }
}

function entriesOf({ driver, drivers }: NotifierOptions): readonly DriverEntry[] {
  if ((driver === undefined) === (drivers === undefined))
    refuse('createNotifier takes either "driver" or "drivers".')
  const entries = drivers ?? [{ driver: driver as Driver }]
  if (!Array.isArray(entries) || entries.length === 0)
    refuse('drivers must be an array of at least one entry.')
  for (const [index, entry] of entries.entries()) {
    const what = `drivers[${index}]`
    if (typeof (entry as unknown as Driver)?.publish === 'function')
      refuse(`${what} is a driver; write { driver } around it.`)
    checkOptions(what, entry, ['driver', 'when', 'codec', 'required'])
    checkDriver(entry.driver)
    checkBoolean(`${what}.required`, entry.required)
    if (entry.codec !== undefined) checkCodec(entry.codec)
  }
  return entries
}

function checkCodec(codec: Codec): void {
  if (typeof codec?.encode !== 'function') refuse('codec must be a codec, such as jsonCodec().')
}
