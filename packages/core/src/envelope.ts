import { type Failure, invalid } from './errors.ts'

/**
 * How much a notification matters, patterned after the levels of Python's logging, with the two that
 * OpenStack added: SAMPLE for measurements, AUDIT for what must be accounted for. The order of
 * {@link PRIORITIES} is the one order used everywhere.
 */
export type Priority = 'DEBUG' | 'SAMPLE' | 'INFO' | 'AUDIT' | 'WARN' | 'ERROR' | 'CRITICAL'

/** All priorities, the least important first. */
export const PRIORITIES: readonly Priority[] = /* @__PURE__ */ Object.freeze([
  'DEBUG',
  'SAMPLE',
  'INFO',
  'AUDIT',
  'WARN',
  'ERROR',
  'CRITICAL',
] as const)

/**
 * A notification on the wire. The fields keep the wire's own names, so what is read in code is what lies
 * in the queue. They are oslo.messaging's, which has sent them since 2011.
 */
export interface Envelope<P extends object = object, T extends string = string> {
  /** Made once for each emit, and kept over every retry, driver and topic. A UUID unless the caller gave one. */
  readonly message_id: string
  /** Who says so: `compute.host1`, or `nova-compute:host1`. */
  readonly publisher_id: string
  /** When it was emitted: UTC, ISO 8601, milliseconds. `2026-11-22T09:30:00.123Z` */
  readonly timestamp: string
  readonly priority: Priority
  /** What happened: `compute.create_instance`. Spaces and Unicode are legal. */
  readonly event_type: T
  readonly payload: P
}

/** `true` for exactly the seven names, in upper case. */
export function isPriority(value: unknown): value is Priority {
  return (PRIORITIES as readonly unknown[]).includes(value)
}

/**
 * Reads an envelope from what a codec has parsed, and is generous: nothing but `event_type` has to be there. Where
 * the priority is missing, the destination that it came from has one, `warning` and any case are understood, other missing
 * fields are empty, unknown ones are kept.
 *
 * @throws a Failure with code `CORRUPT`, reason `envelope` or `priority`.
 */
export function readEnvelope(value: unknown, fallback: Priority): Envelope {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw corrupt('envelope', 'The body is JSON, but not an object with an event_type.')
  }
  const fields = value as Record<string, unknown>
  const own = (name: string): unknown => (Object.hasOwn(fields, name) ? fields[name] : undefined)
  const text = (name: string): string => {
    const field = own(name) ?? ''
    if (typeof field !== 'string') throw corrupt('envelope', `The field ${name} is not a string.`)
    return field
  }
  const event_type = text('event_type')
  if (event_type === '') throw corrupt('envelope', 'The field event_type is missing.')
  const envelope = {
    message_id: text('message_id'),
    publisher_id: text('publisher_id'),
    timestamp: readTimestamp(text('timestamp')),
    priority: readPriority(own('priority'), fallback),
    event_type,
    payload: own('payload') ?? {},
  }
  for (const name of Object.keys(fields)) {
    if (Object.hasOwn(envelope, name)) continue
    // A key named __proto__ is data. Assignment would make it a prototype.
    Object.defineProperty(envelope, name, {
      value: fields[name],
      enumerable: true,
      writable: true,
      configurable: true,
    })
  }
  return envelope as Envelope
}

function readPriority(value: unknown, fallback: Priority): Priority {
  if (value === undefined || value === null || value === '') return fallback
  const name = typeof value === 'string' ? value.toUpperCase() : value
  if (name === 'WARNING') return 'WARN'
  if (isPriority(name)) return name
  throw corrupt('priority', 'The field priority is none of the seven priorities.')
}

/** oslo writes `2026-11-22 09:30:00.123456`: UTC with a space and no zone. Anything else is left alone. */
function readTimestamp(value: string): string {
  const match = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|[+-]\d\d:?\d\d)?$/.exec(value)
  if (match === null || value.endsWith('Z')) return value
  return `${match[1]}T${match[2]}${match[3] ?? 'Z'}`
}

/** The failure of a message whose bytes say nothing that can be understood. For codecs. */
export function corrupt(reason: string, message: string, cause?: unknown): Failure {
  return {
    code: 'CORRUPT',
    reason,
    message,
    retryable: false,
    maybeSent: false,
    scope: 'message',
    ...(cause === undefined ? {} : { cause }),
  }
}

const NAME = /^[^\p{Cc}]{1,255}$/u
const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/
// Control characters that could end a line or a field in some protocol. Tabs are among them.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/
const MESSAGE_ID = /^[\x21-\x7e]{1,128}$/
const TOKEN = /^[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?$/

/** `event_type` and `publisher_id`: what a broker's tools can show in one line. */
export function checkName(field: 'event_type' | 'publisher_id', value: unknown): Failure | undefined {
  if (typeof value === 'string' && NAME.test(value)) return undefined
  return invalid(field.replace('_', '-'), `${field} must be 1 to 255 characters without control characters.`)
}

/** A topic or a group: dot-separated tokens that every transport can name a queue after. */
export function checkTopic(value: unknown, what: 'topic' | 'group' = 'topic'): Failure | undefined {
  if (typeof value === 'string') {
    // Core's own suffix for dead letters, however often it was added, does not count.
    const bare = value.replace(/(?:\.dead)+$/, '')
    const tokens = value.split('.')
    if (bare.length <= 64 && /^[A-Za-z0-9]/.test(value) && tokens.every((token) => TOKEN.test(token)))
      return undefined
  }
  return invalid(
    what,
    `A ${what} is made of dot-separated tokens of letters, digits, "_" and "-", at most 64 characters, such as "notifications".`,
  )
}

/** A `messageId` that the caller chose. */
export function checkMessageId(value: unknown): Failure | undefined {
  if (typeof value === 'string' && MESSAGE_ID.test(value)) return undefined
  return invalid('message-id', 'messageId must be 1 to 128 visible ASCII characters.')
}

/** An ordering key. */
export function checkKey(value: unknown): Failure | undefined {
  if (typeof value === 'string' && NAME.test(value) && value.isWellFormed()) return undefined
  return invalid('key', 'key must be 1 to 255 characters, well-formed, without control characters.')
}

/** Headers that a program sends. Names that begin with `notify-` are core's and its drivers'. */
export function checkHeaders(headers: unknown): Failure | undefined {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    return invalid('headers', 'headers must be an object of strings.')
  }
  for (const name of Object.keys(headers)) {
    const failure = checkHeader(name, (headers as Record<string, unknown>)[name])
    if (failure !== undefined) return failure
    if (/^notify-/i.test(name)) {
      return invalid(
        'header-reserved',
        `The header ${name} is reserved: names that begin with "notify-" are the library's.`,
      )
    }
  }
  return undefined
}

/** The rule that every header on the wire obeys, the library's own included. */
export function checkHeader(name: string, value: unknown): Failure | undefined {
  if (!HEADER_NAME.test(name)) {
    return invalid(
      'header-name',
      'A header name is 1 to 127 letters, digits, ".", "_" or "-", beginning with a letter or digit.',
    )
  }
  if (typeof value === 'string' && value.isWellFormed() && !CONTROL.test(value)) return undefined
  return invalid(
    'header-value',
    `The value of header ${name} must be a well-formed string without control characters.`,
  )
}
