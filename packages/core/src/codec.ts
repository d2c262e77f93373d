import type { Destination } from './driver.ts'
import { corrupt, type Envelope, readEnvelope } from './envelope.ts'
import { type Failure, invalid } from './errors.ts'

/**
 * An envelope as bytes, and back. A driver's entry has one, and each distinct codec encodes once per emit,
 * however many drivers and topics share it. A listener has several: the first that accepts decodes.
 */
export interface Codec {
  readonly name: string
  /** What the message is labelled with. Reading goes by the bytes, since labels get lost. */
  readonly contentType: string
  /** May throw a Failure; whatever else it throws is explained by core as the payload's fault. */
  encode(envelope: Envelope): Uint8Array
  /**
   * Throws a Failure with code `CORRUPT` for what it does not understand.
   *
   * `extra` joins the context that a handler gets.
   */
  decode(
    message: {
      readonly body: Uint8Array
      readonly headers: Readonly<Record<string, string>>
      readonly contentType?: string
    },
    source: Destination,
  ): { envelope: Envelope; extra?: object }
}

/**
 * The default: the six fields as one JSON object, in the order of oslo.messaging, with nothing added. A
 * payload is what `JSON.stringify` makes of it.
 */
export function jsonCodec(): Codec {
  const publisher = lastUsed()
  const eventType = lastUsed()
  return {
    name: 'json',
    contentType: 'application/json',
    encode(envelope) {
      const payload = JSON.stringify(envelope.payload) as string | undefined
      if (payload === undefined || (payload[0] !== '{' && payload[0] !== '[')) throw notAnObject()
      // Written out by hand: stringify of the whole envelope costs twice as much.
      return toBytes(
        `{"message_id":${JSON.stringify(envelope.message_id)},"publisher_id":${publisher(envelope.publisher_id)},"event_type":${eventType(envelope.event_type)},"priority":"${envelope.priority}","payload":${payload},"timestamp":"${envelope.timestamp}"}`,
      )
    },
    decode({ body }, source) {
      return { envelope: readEnvelope(parseJson(body), source.priority) }
    },
  }
}

/** A payload that is no object, however it came to be none. */
export const notAnObject = (): Failure =>
  invalid('payload-type', 'A payload is an object or an array; this one is encoded as neither.')

/** Strict UTF-8 and strict JSON. Shared with codecs that wrap it. Throws `CORRUPT`, `utf-8` or `json`. */
export function parseJson(body: Uint8Array): unknown {
  let text: string
  try {
    // A decoder of its own each time: one that is shared carries state over a fatal error.
    text = new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch (cause) {
    throw corrupt('utf-8', 'The body is not UTF-8.', cause)
  }
  try {
    return JSON.parse(text)
  } catch {
    // The native message quotes the body, which may hold anything. It goes no further.
    throw corrupt('json', 'The body is not one JSON document.')
  }
}

/** UTF-8 bytes of a string. Node's Buffer does it ten times faster than TextEncoder. */
export function toBytes(text: string): Uint8Array {
  return typeof globalThis.Buffer === 'function'
    ? globalThis.Buffer.from(text)
    : new TextEncoder().encode(text)
}

/** How many bytes a string has in UTF-8. */
export function byteLength(text: string): number {
  return typeof globalThis.Buffer === 'function'
    ? globalThis.Buffer.byteLength(text)
    : new TextEncoder().encode(text).length
}

/** Publishers and event types come in runs: the JSON of the last one is kept. */
function lastUsed(): (text: string) => string {
  let last: string | undefined
  let json = ''
  return (text) => {
    if (text !== last) {
      json = JSON.stringify(text)
      last = text
    }
    return json
  }
}
