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
import {
  type Capabilities,
  checkMessage,
  type Driver,
  type Failure,
  failure,
  type OutboundMessage,
} from '@notify/core'

/** Makes a driver that discards. It has no options, no connection and no `subscribe`. */
export function noop(): Driver {
  let closed = false

  // What cannot be sent elsewhere cannot be discarded here: switching one on later brings no surprise.
  function outcome(message: OutboundMessage, signal: AbortSignal): Failure | undefined {
    if (closed) return failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })
    if (signal.aborted) return { ...(signal.reason as Failure), maybeSent: false }
    try {
      return checkMessage(message, MAX_MESSAGE_BYTES)
    } catch (cause) {
      return failure('UNKNOWN', 'unreadable', 'The message could not be read.', { cause })
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
      return { ok: false, warnings: [], failure: failure('CLOSED', 'closed', 'The driver is closed.') }
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
