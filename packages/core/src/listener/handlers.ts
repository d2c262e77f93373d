import type { Destination } from '../driver.ts'
import { type Envelope, PRIORITIES, type Priority } from '../envelope.ts'
import { compileGlobs, type Glob, type GlobMatch } from '../glob.ts'
import type { AnyEvents } from '../notifier/notifier.ts'
import { checkPriorities } from '../notifier/route.ts'
import { backoffOf, checkCount, checkMs, checkOptions, refuse } from '../options.ts'
import type { Backoff } from '../retry.ts'

/** How often a handler is run on one message, and how it waits in between. */
export interface Attempts extends Backoff {
  /** Runs in all, the first one included. Default: 5. `Infinity` never gives up. */
  readonly max: number
  /**
   * For how long a message waits by backoff, over all its attempts. The handler's own time, waiting for a slot
   * and what `Retry` asks for do not count. Default: 30,000 ms.
   */
  readonly withinMs: number
}

/** What a handler gets beside the notification. A codec may add fields: a handler that reads them names their type. */
export interface HandlerContext {
  /**
   * Fires when the run has taken `handlerTimeoutMs`, or when `stop` waits no longer; its reason is a
   * {@link NotifyError}. What the handler does afterwards is ignored.
   */
  readonly signal: AbortSignal
  /** Which run of this handler on this message it is: 1 at first. Counted in this process. */
  readonly attempt: number
  /** The broker's count of deliveries, where it has one: above 1, it may be a duplicate. */
  readonly deliveries?: number
  readonly destination: Destination
  readonly group?: string
  readonly headers: Readonly<Record<string, string>>
  readonly key?: string
}

/** One notification of a map of events. */
type EnvelopeOf<Events, T extends keyof Events & string> = Envelope<
  Events[T] extends object ? Events[T] : never,
  T
>

/** The notifications of a map of events, told apart by `event_type`. */
export type NotificationOf<Events extends object = AnyEvents> = {
  [T in keyof Events & string]: EnvelopeOf<Events, T>
}[keyof Events & string]

/** What every entry may say. */
interface Handling<N> {
  /** The priorities of the notifications themselves, whatever queue they came from. Absent: all seven. */
  readonly priorities?: readonly Priority[] | undefined
  /** Who emitted it. Absent: anybody. */
  readonly publisher_id?: Glob | undefined
  /** Instead of the listener's `attempts`, field by field. */
  readonly attempts?: Partial<Attempts> | undefined
  /** The last condition, asked when the others hold. A throw counts as the handler's. It changes nothing. */
  where?(notification: N): boolean
  /**
   * Does the work. To return, or to resolve, is to acknowledge; to throw is to be run again, up to
   * `attempts.max` times; `Retry`, `Reject` and `Requeue`, thrown, say otherwise.
   *
   * The same notification may come twice: be idempotent by its `message_id`.
   */
  handle(notification: N, context: HandlerContext): unknown
}

/** Any event type that matches, by the rules of a {@link Glob}. */
type Pattern = `${string}*${string}` | `${string}?${string}` | `${string}[${string}]${string}`

/**
 * One handler and what it handles. With a map of events, `event_type` is one of its names, which gives `handle`
 * that event's payload, or a glob, or absent, either of which gives it all of them to tell apart.
 */
export type HandlerEntry<Events extends object = AnyEvents> = string extends keyof Events
  ? Handling<NotificationOf<Events>> & { readonly event_type?: Glob | undefined }
  :
      | {
          [T in keyof Events & string]: Handling<EnvelopeOf<Events, T>> & { readonly event_type: T }
        }[keyof Events & string]
      | (Handling<NotificationOf<Events>> & { readonly event_type: Pattern })
      | (Handling<NotificationOf<Events>> & { readonly event_type?: undefined })

/** An entry, ready to be matched. */
export interface Handler {
  readonly index: number
  readonly event_type: string | undefined
  readonly attempts: Attempts
  readonly entry: HandlerEntry
  matches(envelope: Envelope): boolean
}

const ENTRY_KEYS = ['priorities', 'event_type', 'publisher_id', 'where', 'handle', 'attempts']
const DEFAULTS: Attempts = { max: 5, minMs: 200, maxMs: 10_000, withinMs: 30_000 }

/** Checks entries and makes them ready. Throws `INVALID` for what cannot be. */
export function compileHandlers(
  entries: readonly HandlerEntry[],
  attempts: Partial<Attempts> = {},
): readonly Handler[] {
  if (!Array.isArray(entries) || entries.length === 0)
    refuse('handlers must be an array of at least one entry.')
  const defaults = attemptsOf('attempts', attempts, DEFAULTS)
  return entries.map((entry: HandlerEntry, index) => {
    const what = `handlers[${index}]`
    checkOptions(what, entry, ENTRY_KEYS)
    const { event_type, publisher_id, priorities, where, handle } = entry
    if (typeof handle !== 'function') refuse(`${what}.handle must be a function.`)
    if (where !== undefined && typeof where !== 'function') refuse(`${what}.where must be a function.`)
    const isType = globOf(`${what}.event_type`, event_type)
    const isPublisher = globOf(`${what}.publisher_id`, publisher_id)
    checkPriorities(`${what}.priorities`, priorities)
    if (priorities?.length === 0) refuse(`${what}.priorities is empty: it would handle nothing.`)
    const levels = new Set(priorities ?? PRIORITIES)
    return {
      index,
      event_type,
      attempts: attemptsOf(`${what}.attempts`, entry.attempts ?? {}, defaults),
      entry,
      matches: (envelope) =>
        levels.has(envelope.priority) && isType(envelope.event_type) && isPublisher(envelope.publisher_id),
    }
  })
}

/** The priorities that somebody handles, in their order. Nothing else is consumed. */
export function handledPriorities(entries: readonly HandlerEntry[]): readonly Priority[] {
  return PRIORITIES.filter((priority) =>
    entries.some(({ priorities = PRIORITIES }) => priorities.includes(priority)),
  )
}

function globOf(what: string, glob: unknown): GlobMatch {
  if (glob !== undefined && (typeof glob !== 'string' || glob === '')) refuse(`${what} must be a glob.`)
  return compileGlobs(glob as Glob | undefined)
}

function attemptsOf(what: string, given: Partial<Attempts>, defaults: Attempts): Attempts {
  const { max = defaults.max, withinMs = defaults.withinMs } = given
  checkCount(`${what}.max`, max, 1)
  checkMs(`${what}.withinMs`, withinMs)
  return { max, withinMs, ...backoffOf(what, given, defaults) }
}
