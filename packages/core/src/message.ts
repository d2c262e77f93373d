import { byteLength } from './codec.ts'
import type { OutboundMessage } from './driver.ts'
import { checkHeader } from './envelope.ts'
import { type Failure, failure } from './errors.ts'

/** What counts against `maxMessageBytes`: body, key, header names and values, in bytes. */
export function sizeOf(body: Uint8Array, headers: Readonly<Record<string, string>>, key?: string): number {
  let size = body.length + (key === undefined ? 0 : byteLength(key))
  for (const name in headers) size += byteLength(name) + byteLength(headers[name] as string)
  return size
}

/**
 * What every driver refuses before it sends: headers that are not well-formed, and more bytes than it takes. For
 * drivers; core has checked what a program emits, but a driver may be handed messages by anybody.
 *
 * @returns a Failure, `INVALID` or `TOO_LARGE`, or nothing.
 *
 * @example
 * const refused = checkMessage(message, capabilities.maxMessageBytes)
 * if (refused !== undefined) return settle(message, refused)
 */
export function checkMessage(message: OutboundMessage, maxMessageBytes: number): Failure | undefined {
  for (const name of Object.keys(message.headers)) {
    const refused = checkHeader(name, message.headers[name])
    if (refused !== undefined) return refused
  }
  const size = sizeOf(message.body, message.headers, message.key)
  if (size <= maxMessageBytes) return undefined
  return failure(
    'TOO_LARGE',
    'message-bytes',
    `The message has ${size} bytes; at most ${maxMessageBytes} are taken.`,
  )
}
