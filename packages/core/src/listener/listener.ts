import { type Clock, NEVER, systemClock } from '../clock.ts'
import { type Codec, jsonCodec } from '../codec.ts'
import type { Driver, Health } from '../driver.ts'
import { checkTopic, PRIORITIES } from '../envelope.ts'
import { type Failure, failure, NotifyError } from '../errors.ts'
import { hold } from '../holders.ts'
import type { AnyEvents } from '../notifier/notifier.ts'
import { destinationsOf } from '../notifier/route.ts'
import type { Hooks } from '../observe.ts'
import {
  backoffOf,
  checkBoolean,
  checkClock,
  checkCount,
  checkDriver,
  checkFunction,
  checkMs,
  checkOptions,
  refuse,
} from '../options.ts'
import type { Backoff } from '../retry.ts'
import { Consumer, type Settings } from './consumer.ts'
import { type Attempts, compileHandlers, type HandlerEntry, handledPriorities } from './handlers.ts'
import type { Outcomes } from './held.ts'

/**
 * Sums of a listener, in deliveries. At any instant
 * `received = acked + dead + dropped + unmatched + requeued + lost + pending`.
 */
export interface ListenerStats extends Outcomes {
  readonly received: number
  readonly pending: number
  /** Slots that are taken: deliveries whose handlers run. After `stop`: handlers that it did not wait for. */
  readonly running: number
}

/** What to consume, and how. */
export interface ListenerOptions<Events extends object = AnyEvents> extends Hooks {
  readonly driver: Driver
  /** Default: `['notifications']`. */
  readonly topics?: readonly string[] | undefined
  /**
   * Listeners of one group share its messages, and each group gets all of them. Default: the group that all
   * share who name none.
   */
  readonly group?: string | undefined
  /** Each is run on every notification that it matches, one after the other. */
  readonly handlers: readonly HandlerEntry<Events>[]
  /** The first that accepts a message decodes it. Default: `[jsonCodec()]`. */
  readonly codecs?: readonly Codec[] | undefined
  /** How many deliveries are handled at once. An eighth of it takes ERROR and CRITICAL alone. Default: 16. */
  readonly concurrency?: number | undefined
  /** How many unsettled deliveries a destination may have: at least 50 and twice the concurrency, the default. */
  readonly prefetch?: number | undefined
  /**
   * Where the broker counts, a message that was delivered more often goes to the dead letters unhandled: it may
   * be what kills the process. From its fourth delivery on it runs alone. `Requeue`s add to the count, and where
   * the broker counts them restarts of the listener do too. Default: 20.
   */
  readonly maxDeliveries?: number | undefined
  /** How long one run of a handler may take; then it has failed, and no longer takes a slot. Default: no limit. */
  readonly handlerTimeoutMs?: number | undefined
  /** `false`: what is given up is acknowledged and reported, and gone. Default: it goes to `<topic>.dead`. */
  readonly deadLetters?: boolean | undefined
  /** Where a named group begins that does not exist yet. Default: as the transport documents. */
  readonly from?: 'new' | 'earliest' | undefined
  /** For handlers that say nothing else. Default: 5 runs, waits of 200 to 10,000 ms, 30,000 ms of them together. */
  readonly attempts?: Partial<Attempts> | undefined
  /** Between attempts to subscribe, or to write a dead letter. Default: 100 to 10,000 ms, full jitter. */
  readonly backoff?: Partial<Backoff> | undefined
  /** Time and chance, for tests. */
  readonly clock?: Clock | undefined
}

/** What a program consumes with. */
export interface Listener extends AsyncDisposable {
  /**
   * Resolves when every destination is subscribed to. Waits for a broker that is away; rejects where waiting
   * does not help: `UNAUTHENTICATED`, `FORBIDDEN`, `UNROUTABLE`, `CONFLICT`, `INVALID`, `CLOSED`. It then has left
   * nothing behind, and may be called again. A second call returns the first one's promise.
   *
   * Once started, a subscription that ends is opened again, for whatever reason it ended; `onStatus` hears of it.
   */
  start(): Promise<void>
  /**
   * Takes nothing more, gives back what is not being handled, waits for the rest at most `timeoutMs`
   * (30,000 ms), and closes the driver if nobody else holds it, for which it has 200 ms more. Resolves with the
   * final sums, in which nothing is pending. Never rejects; a second call returns the first one's promise.
   * A handler must not await it: it would wait for itself, until `timeoutMs`.
   */
  stop(options?: { readonly timeoutMs?: number }): Promise<ListenerStats>
  /** How the driver and the consuming fare. Never rejects, and ends within `timeoutMs` (5,000 ms). */
  health(options?: { readonly timeoutMs?: number }): Promise<Health>
  /** The sums at this instant. */
  stats(): ListenerStats
}

/** Of every option, so that no other is one. */
const DEFAULTS = {
  driver: undefined,
  topics: ['notifications'],
  group: undefined,
  handlers: undefined,
  codecs: undefined,
  concurrency: 16,
  prefetch: undefined,
  maxDeliveries: 20,
  handlerTimeoutMs: NEVER,
  deadLetters: true,
  from: undefined,
  attempts: {},
  backoff: { minMs: 100, maxMs: 10_000 },
  onStatus: undefined,
  onFailure: undefined,
  clock: systemClock,
}

/**
 * Makes what a program consumes with. Connects to nothing yet.
 *
 * @throws NotifyError `INVALID` for an option that cannot be, `UNSUPPORTED` for what the transport cannot do.
 *
 * @example
 * const listener = createListener({
 *   driver: rabbit({ url }),
 *   handlers: [{ event_type: 'compute.*', priorities: ['ERROR', 'CRITICAL'], handle: (n) => page(n) }],
 * })
 * await listener.start()
 */
export function createListener<Events extends object = AnyEvents>(
  options: ListenerOptions<NoInfer<Events>>,
): Listener {
  const settings = settingsOf(options)
  hold(settings.driver)
  return new Consumer(settings)
}

function settingsOf<Events extends object>(options: ListenerOptions<Events>): Settings {
  const given = Object.fromEntries(Object.entries(options ?? {}).filter(([, value]) => value !== undefined))
  const all = { ...DEFAULTS, ...given } as unknown as Required<ListenerOptions>
  const {
    driver,
    topics,
    group,
    handlers: entries,
    codecs = [jsonCodec()],
    concurrency,
    from,
    deadLetters,
    clock,
  } = all
  checkOptions('createListener', options, Object.keys(DEFAULTS))
  checkDriver(driver)
  if (!Array.isArray(topics) || topics.length === 0) refuse('topics must be an array of at least one topic.')
  for (const topic of topics) check(checkTopic(topic))
  if (group !== undefined) check(checkTopic(group, 'group'))
  const handlers = compileHandlers(entries, all.attempts)
  if (!Array.isArray(codecs) || codecs.length === 0) refuse('codecs must be an array of at least one codec.')
  for (const [index, codec] of codecs.entries())
    checkFunction(`codecs[${index}].decode`, codec?.decode ?? null)
  const least = Math.max(50, 2 * (concurrency as number))
  const { prefetch = least } = all
  checkCount('concurrency', concurrency, 1)
  checkCount('prefetch', prefetch, least)
  if (!Number.isFinite(prefetch)) refuse('concurrency and prefetch must be finite.')
  checkCount('maxDeliveries', all.maxDeliveries, 1)
  checkMs('handlerTimeoutMs', all.handlerTimeoutMs)
  checkFunction('onStatus', all.onStatus)
  checkFunction('onFailure', all.onFailure)
  checkClock(clock as Clock)
  checkBoolean('deadLetters', deadLetters)
  if (from !== undefined && from !== 'new' && from !== 'earliest') refuse('from must be "new" or "earliest".')
  if (from === 'earliest' && group === undefined) refuse('from: "earliest" needs a group.')
  checkCapabilities(driver, group, from)
  const priorities = handledPriorities(entries)
  // The most important first: what waited for a broker's return is then handled in that order too.
  const destinations = [...new Set(topics)]
    .flatMap((topic) => destinationsOf(topic).filter(({ priority }) => priorities.includes(priority)))
    .sort((a, b) => PRIORITIES.indexOf(b.priority) - PRIORITIES.indexOf(a.priority))
  const backoff = backoffOf('backoff', all.backoff as Partial<Backoff>, DEFAULTS.backoff)
  return { ...all, handlers, codecs, prefetch, backoff, destinations } as Settings
}

function checkCapabilities(driver: Driver, group: string | undefined, from: string | undefined): void {
  const { groups, history } = driver.capabilities
  const unsupported = (reason: string, message: string) => check(failure('UNSUPPORTED', reason, message))
  if (typeof driver.subscribe !== 'function') unsupported('subscribe', `${driver.name} only sends.`)
  if (group !== undefined && !groups)
    unsupported('group', `${driver.name} has no groups but the default one.`)
  if (from === 'earliest' && !history)
    unsupported('history', `A new group of ${driver.name} cannot begin at the earliest.`)
}

function check(failed: Failure | undefined): void {
  if (failed !== undefined) throw new NotifyError(failed)
}
