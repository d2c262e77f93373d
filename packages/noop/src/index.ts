/**
 * A driver that keeps nothing. Notifications are switched off by configuration, with the code that emits them
 * left alone: a notifier whose drivers all discard builds and encodes nothing.
 *
 * Everything else is as the contract wants it: what cannot be sent elsewhere cannot be discarded here, signals
 * act, and after `close` nothing is taken. No message is kept: at most once, and never.
 *
 * @example
 * const driver = process.env.BROKER_URL ? rabbit({ url: process.env.BROKER_URL }) : noop()
 * const notifier = createNotifier({ publisherId: 'compute.host1', driver })
 * await notifier.info('compute.create_instance', { instance_id: 12 })   // resolves, and costs next to nothing
 *
 * @module
 */
import type { Capabilities, Driver, ErrorCode, Failure, OutboundMessage } from '@notify/core'

/** Makes a driver that discards. It has no options, no connection and no `subscribe`. */
export function noop(): Driver {
  let closed = false

  function outcome(message: OutboundMessage, signal: AbortSignal): Failure | undefined {
    if (closed) return { ...fault('CLOSED', 'closed', 'The driver is closed.'), scope: 'transport' }
    if (signal.aborted) return { ...(signal.reason as Failure), maybeSent: false }
    try {
      return check(message)
    } catch (cause) {
      return { ...fault('UNKNOWN', 'unreadable', 'The message could not be read.'), cause }
    }
  }

  return {
    contract: 1,
    name: 'noop',
    capabilities: CAPABILITIES,

    async publish(batch, settle, { signal }) {
      // As with any transport, an answer comes later, and until then the caller can change its mind.
      await undefined
      for (const message of batch) settle(message, outcome(message, signal))
    },

    async health() {
      if (!closed) return { ok: true, warnings: [] }
      return { ok: false, warnings: [], failure: fault('CLOSED', 'closed', 'The driver is closed.') }
    },

    async close() {
      closed = true
    },
  }
}

const MAX_MESSAGE_BYTES = 64 * 2 ** 20

const CAPABILITIES: Capabilities = Object.freeze({
  confirms: 'none',
  discards: true,
  ordering: 'none',
  deduplication: false,
  requeue: false,
  delay: false,
  deliveryCount: false,
  groups: false,
  sharing: 'message',
  history: false,
  maxMessageBytes: MAX_MESSAGE_BYTES,
  maxBatch: 1_000,
  maxBatchBytes: MAX_MESSAGE_BYTES,
  window: Object.freeze({ messages: 2_000, bytes: MAX_MESSAGE_BYTES }),
})

const HEADER_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
const CONTROL = /[\x00-\x1f\x7f]/

/** What every transport refuses, so that switching one on later brings no surprise. */
function check({ body, headers, key = '' }: OutboundMessage): Failure | undefined {
  let bytes = body.length + byteLength(key)
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (!HEADER_NAME.test(name)) return fault('INVALID', 'header-name', 'A header name is not well-formed.')
    if (typeof value !== 'string' || CONTROL.test(value) || !value.isWellFormed()) {
      return fault('INVALID', 'header-value', `The value of header ${name} is not well-formed.`)
    }
    bytes += name.length + byteLength(value)
  }
  if (bytes <= MAX_MESSAGE_BYTES) return undefined
  return fault('TOO_LARGE', 'message-bytes', `The message is larger than ${MAX_MESSAGE_BYTES} bytes.`)
}

const byteLength = (text: string) => new TextEncoder().encode(text).length

function fault(code: ErrorCode, reason: string, message: string): Failure {
  return { code, reason, message, retryable: false, maybeSent: false, scope: 'message' }
}
