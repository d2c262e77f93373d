import type { OutboundMessage, Priority } from '@notify/core'
import { quote, toJson } from './json.ts'
import type { Secrets } from './secrets.ts'

/** A method of a logger, and the word for it in a line of JSON. */
export type Level = 'debug' | 'info' | 'warn' | 'error'

/** How lines are written. */
export interface Style {
  readonly format: 'text' | 'json'
  readonly colors: boolean
  readonly secrets: Secrets
  readonly maxLineLength: number
}

/** What a message says, as far as its bytes can be understood. */
interface Content {
  readonly timestamp?: unknown
  readonly event_type?: unknown
  readonly publisher_id?: unknown
  readonly payload: unknown
  /** What the envelope had beside its six fields. */
  readonly extra?: object
}

/** One message as one line, without the line feed. */
export function toLine(message: OutboundMessage, level: Level, style: Style): string {
  const content = read(message.body)
  return style.format === 'json'
    ? jsonLine(message, level, content, style)
    : textLine(message, content, style)
}

function jsonLine(message: OutboundMessage, level: Level, content: Content, style: Style): string {
  const { destination, headers, key, id } = message
  const { secrets, maxLineLength } = style
  let line = `{"level":"${level}"`
  const add = (name: string, json: string) => {
    line += `,"${name}":${json}`
  }
  const value = (given: unknown) => toJson(given, secrets, maxLineLength - line.length)
  if (content.timestamp !== undefined) add('timestamp', plain(content.timestamp, value))
  add('priority', quote(destination.priority))
  if (content.event_type !== undefined) add('event_type', plain(content.event_type, value))
  if (content.publisher_id !== undefined) add('publisher_id', plain(content.publisher_id, value))
  add('message_id', quote(id))
  add('topic', quote(destination.topic))
  if (key !== undefined) add('key', quote(key))
  if (Object.keys(headers).length > 0) add('headers', value(headers))
  if (content.extra !== undefined) add('extra', value(content.extra))
  add('payload', value(content.payload))
  return `${line}}`
}

function textLine(message: OutboundMessage, content: Content, style: Style): string {
  const { destination, headers, key, id } = message
  const { secrets, maxLineLength } = style
  const paint = (color: string, text: string) => (style.colors ? `\u001b[${color}m${text}\u001b[0m` : text)
  const value = (given: unknown) => toJson(given, secrets, maxLineLength - rest.length)
  let rest = ` message_id=${bare(id)} topic=${bare(destination.topic)}`
  if (key !== undefined) rest += ` key=${bare(key)}`
  if (Object.keys(headers).length > 0) rest += ` headers=${value(headers)}`
  if (content.extra !== undefined) rest += ` extra=${value(content.extra)}`
  const shown = (given: unknown) =>
    given === undefined ? '-' : typeof given === 'string' ? bare(given) : value(given)
  return [
    paint('2', shown(content.timestamp)),
    paint(COLORS[destination.priority], destination.priority.padEnd(8)),
    paint('1', shown(content.event_type)),
    shown(content.publisher_id),
    value(content.payload) + paint('2', rest),
  ].join(' ')
}

/** Dim, dim, green, blue, yellow, red, and red upside down. */
const COLORS: Readonly<Record<Priority, string>> = {
  DEBUG: '2',
  SAMPLE: '2',
  INFO: '32',
  AUDIT: '34',
  WARN: '33',
  ERROR: '31',
  CRITICAL: '7;31',
}

/** A name is a name, also one like `token-service:host1`: nothing in it is hidden. */
function plain(given: unknown, value: (given: unknown) => string): string {
  return typeof given === 'string' ? quote(given) : value(given)
}

/** As it is where nobody could mistake it for something else, in quotes otherwise. */
function bare(text: string): string {
  const quoted = quote(text)
  return /^[^\s"'=]+$/.test(text) && quoted === `"${text}"` ? text : quoted
}

/** Any bytes are shown as something. What is no envelope is all payload. */
function read(body: Uint8Array): Content {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    return { payload: `[${body.length} bytes that are not UTF-8]` }
  }
  const value = parse(text)
  const envelope = unwrap(value)
  if (typeof envelope !== 'object' || envelope === null || !Object.hasOwn(envelope, 'event_type')) {
    return { payload: value === undefined ? text : value }
  }
  const {
    message_id,
    priority,
    timestamp,
    event_type,
    publisher_id,
    payload = null,
    ...extra
  } = envelope as Record<string, unknown>
  return {
    timestamp,
    event_type,
    publisher_id,
    payload,
    ...(Object.keys(extra).length === 0 ? {} : { extra }),
  }
}

/** oslo.messaging's second format wraps the envelope, as a string. */
function unwrap(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, 'oslo.message')) return value
  const inner = (value as Record<string, unknown>)['oslo.message']
  return typeof inner === 'string' ? parse(inner) : value
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
