import type { Delivery, OutboundMessage } from '@notify/core'
import type { ConsumeMessage, Options } from 'amqplib'

/** Our own header for the key, and the front of names under which those travel that RabbitMQ would act on. */
const KEY = 'notify-key'
const HIDDEN = 'notify-h-'
/** `CC` and `BCC` route, and as strings they are an error; the other two are where queues count. */
const ACTED_ON: ReadonlySet<string> = new Set(['CC', 'BCC', 'x-delivery-count', 'x-acquired-count'])
const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

/** What of a message AMQP calls properties, and the body as the Buffer that amqplib insists on. */
export interface Wire {
  readonly content: Buffer
  readonly options: Options.Publish
}

export function toWire({ id, body, contentType, headers, key }: OutboundMessage): Wire {
  const content = Buffer.isBuffer(body) ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  return {
    content,
    options: {
      messageId: id,
      contentType,
      headers: tableOf(headers, key),
      persistent: true,
      mandatory: true,
    },
  }
}

/** None where it would be empty: amqplib makes it the prototype of another one, which V8 is slow at. */
function tableOf(
  headers: Readonly<Record<string, string>>,
  key: string | undefined,
): Record<string, string> | undefined {
  const names = Object.keys(headers)
  if (names.length === 0 && key === undefined) return undefined
  const table: Record<string, string> = {}
  for (const name of names) table[ACTED_ON.has(name) ? HIDDEN + name : name] = headers[name] as string
  if (key !== undefined) table[KEY] = key
  return table
}

/** What was on the wire, whoever put it there. */
export type Received = Pick<Delivery, 'body' | 'contentType' | 'headers' | 'key' | 'deliveries'>

export function fromWire({ content, fields, properties }: ConsumeMessage, counted: boolean): Received {
  const table = (properties.headers ?? {}) as Readonly<Record<string, unknown>>
  const headers: Record<string, string> = {}
  for (const name of Object.keys(table)) {
    if (ACTED_ON.has(name) || name === KEY) continue
    const plain = name.startsWith(HIDDEN) ? name.slice(HIDDEN.length) : name
    if (HEADER_NAME.test(plain)) headers[plain] = toText(table[name])
  }
  const key = own(table, KEY)
  const { contentType } = properties as { contentType?: unknown }
  return {
    body: content,
    headers,
    ...(typeof contentType === 'string' ? { contentType } : {}),
    ...(typeof key === 'string' ? { key } : {}),
    ...(counted ? { deliveries: fields.redelivered ? deliveriesOf(table) : 1 } : {}),
  }
}

/**
 * Quorum queues count what went before. Since 4.3 the one counts all deliveries, the other only failed ones. What a
 * message comes with the first time is not theirs: whoever forwards one forwards such headers as well.
 */
function deliveriesOf(table: Readonly<Record<string, unknown>>): number {
  const before = Number(own(table, 'x-acquired-count') ?? own(table, 'x-delivery-count') ?? 0)
  return 1 + (Number.isSafeInteger(before) && before > 0 ? before : 0)
}

/** A table on the wire may have a `__proto__`, which amqplib takes for one. */
function own(table: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(table, name) ? table[name] : undefined
}

/** AMQP has numbers, tables, times and bytes as well. */
function toText(value: unknown): string {
  if (typeof value === 'string') return value
  if (value === null || value === undefined) return ''
  if (Buffer.isBuffer(value)) return value.toString('base64')
  if (typeof value !== 'object') return String(value)
  try {
    return JSON.stringify(value)
  } catch {
    return ''
  }
}
