/**
 * The driver contract: everything core asks of a transport, and everything a transport may rely on.
 *
 * A driver is the thinnest layer that can carry messages to one kind of broker and tell the truth
 * about what became of each. It makes **one attempt** for every message it is handed. What is the same
 * for all transports lives above it, in core, and is written once: retries and their backoff, batching,
 * the bounded buffer, shedding, deadlines, order over retries, resubscription, dead letters, logging.
 *
 * So a driver must not retry, resend, resubscribe, linger, expire or log, and must not queue without
 * bound. It may own two kinds of timer: one that renews a lease, and one that bounds a client call which
 * could hang (taken from `timeoutMs`). Both are gone after `close`.
 *
 * "Must", "should" and "may" are used as in RFC 2119. `@notify/conformance` holds a case for each must.
 *
 * ## What a failure does
 *
 * A driver says three things about a failure, and core acts on nothing else:
 *
 * - `retryable`: another attempt could succeed with nobody changing anything. Core makes it, with backoff.
 * - `maybeSent`: it was written and no answer came. `false` is a statement that the broker does not have it.
 * - `scope`: how far the trouble reaches. `message`: this one alone backs off, or fails. `destination` and
 *   `transport` **shut a gate**: everything behind it waits while one message at a time is tried; where the failure
 *   is not retryable, everything that waits behind it fails with it. So a wrong password is `transport`, a missing
 *   queue is `destination`, and a message that is too large must never be more than `message`.
 *
 * | code | when | retryable |
 * |---|---|---|
 * | `UNAVAILABLE` | no connection, lost, no answer, a leader moving | yes |
 * | `THROTTLED` | slow down, a quota, a full queue | yes |
 * | `UNROUTABLE` | surely nothing takes it: no guess from metadata that may be old | no |
 * | `CONFLICT` | it exists, and is not as it was asked for | no |
 * | `UNAUTHENTICATED`, `FORBIDDEN` | who asks; what is asked | no |
 * | `TOO_LARGE`, `INVALID`, `UNSUPPORTED` | a limit; badly formed, or no name of this transport; not to be had here | no |
 * | `CLOSED`, `ABORTED`, `DEADLINE` | ended by the program: taken from `signal.reason` | no |
 * | `UNKNOWN` | none of these; with the native error as `cause` | no |
 *
 * A failure holds no secret in any field, at any depth: native errors are known to quote URLs.
 *
 * ## Names and topology
 *
 * A destination's name is `<topic>.<priority>`. A transport maps it to a queue, subject or topic of its own, and
 * **no two destinations or groups may meet**: where a character cannot be had, the mapping escapes it (`.` to `-`,
 * and `-` to `--`), or the name is refused with `INVALID`, reason `destination-name`, scope `destination`.
 *
 * Every driver has an option `topology`: `declare` makes what is missing, `check` verifies it, `none` touches
 * nothing. What is missing under the last two is `UNROUTABLE`, what differs is `CONFLICT`. A destination is declared
 * when it is first published or subscribed to, not earlier, and with no dead-letter settings of the broker's. It is core
 * that writes dead letters, to `<topic>.dead`, a topic like any other but for one rule: it has the default group alone,
 * whatever groups a publisher declares for.
 *
 * The default group begins at the earliest message that the transport holds, and keeps what comes while it has no
 * consumer. A named group exists from the moment its first `subscribe` has resolved, at the end unless `from` says
 * otherwise, and is kept from then on.
 *
 * ## Identity is structural
 *
 * A program may hold two copies of core, and they have to work together, so nothing here is a class that somebody
 * tests with `instanceof`, and neither a driver nor core keeps state in a module.
 *
 * @module
 */
import type { Priority } from './envelope.ts'
import type { Failure } from './errors.ts'

/**
 * A transport, as core sees it. One instance serves many notifiers and listeners at once; core counts
 * who holds it and closes it when the last one lets go.
 *
 * Where this contract asks for a bound, it is `timeoutMs` or the signal, whichever comes first.
 *
 * A driver that is created does not connect yet. The first `publish`, `subscribe` or `health` does, and so does
 * the next one after a connection was lost: no other call is needed before it.
 */
export interface Driver {
  /** The version of this contract. A driver states the one it was written for. */
  readonly contract: 1
  /** Short and stable, such as `rabbit`. Appears in receipts, statistics and messages. */
  readonly name: string
  /** Frozen plain data that follows from the options alone: equal options, equal capabilities. */
  readonly capabilities: Capabilities

  /**
   * Hands over one call's worth of messages, all for the same destination, at most
   * `capabilities.maxBatch` of them and `maxBatchBytes` together; a single one may have up to
   * `maxMessageBytes`, where that is more.
   *
   * - Each message is settled **once**, through `settle`, as soon as its own outcome is known, in any
   *   order, from within `publish` or later. A second settle of the same message is ignored. `settle`
   *   belongs to this call.
   * - It is settled without a failure **only when the broker has taken responsibility** for it, in the
   *   sense of `capabilities.confirms`. A broker that is killed right then and started again still has the
   *   message.
   * - What was in flight when a connection broke is settled `UNAVAILABLE`, retryable, with `maybeSent`
   *   wherever bytes were written. The driver sends nothing a second time: core decides, and a retry
   *   arrives as a new message object with the same `id` and `dedupId`.
   * - A request with several messages that the broker refuses as a whole is settled message by message:
   *   `UNAVAILABLE` with reason `split`, scope `message`, retryable. They come again one by one, so that the
   *   refusal finds its owner.
   * - When `options.signal` fires, each open message is settled with the signal's reason (a
   *   {@link Failure}) and `maybeSent` according to whether it was written; that it was stored by then is
   *   no reason to settle it otherwise. After `close`: `CLOSED`.
   * - Messages are not changed, and not kept after they are settled.
   *
   * The promise that may be returned means "handed over", nothing more. It must not reject, nor may the
   * function throw: core takes either for a fault of the driver and settles what is open `UNKNOWN`.
   */
  publish(batch: readonly OutboundMessage[], settle: Settle, options: CallOptions): void | Promise<void>

  /**
   * Opens one consumer on one destination for one group. Absent where the transport only sends.
   *
   * - Rejects with a {@link Failure}; `options.signal` acts until it resolves, and an aborted call
   *   leaves no consumer behind.
   * - `onDelivery` never throws into the driver, and must not be called from within `ack` or `requeue`.
   * - At most `options.prefetch` deliveries are unsettled at a time, and **none of them expires before it
   *   is settled** (visibility extended, progress reported, heartbeats sent), for as long as
   *   `capabilities.holdMs`.
   * - When a subscription cannot go on, it ends, once, and says why. Core subscribes again, with
   *   backoff. Instead, it may live on in a client that reconnects by itself, and so it may in one that
   *   loses a part of what it consumes (a partition that moves to another member): what was open of that
   *   part then settles `false`. There are never two consumers where there should be one.
   * - Deliveries may come before the promise has resolved.
   * - What the capabilities rule out (a group, `from`) is refused with `UNSUPPORTED`.
   */
  subscribe?(
    source: Source,
    onDelivery: (delivery: Delivery) => void,
    options: SubscribeOptions,
  ): Promise<Subscription>

  /**
   * Tells of changes: `down` when the connection is lost, `up` when it is back, `blocked` while the broker asks for
   * silence (RabbitMQ's memory alarm). While `blocked`, core hands nothing over and the clocks of
   * attempts stand still, until it hears anything else. **A new listener is told at once** when the state is
   * `down` or `blocked`. Returns a function that stops the telling. A listener that throws is the
   * listener's fault; core's does not.
   */
  observe?(listener: (status: Status) => void): () => void

  /**
   * Whether a message could be sent now (so not while `blocked`), and what an operator should know. Resolves in every state,
   * also after `close`, within `options.timeoutMs`. Never rejects.
   */
  health(options: CallOptions): Promise<Health>

  /**
   * Ends every subscription (`ended` resolves `undefined`), settles whatever is still pending, at the latest
   * as its signal fires, and keeps no socket, timer or listener, so that the process can end by itself.
   * Idempotent, also when called twice at once. It leaves open a connection that came from the user.
   */
  close(options: CallOptions): Promise<void>

  /** The transport's own client, for what this contract does not cover. Not portable. */
  native?(): unknown
}

/** How one call is bounded. */
export interface CallOptions {
  /** For a client that takes a timeout. Core watches the clock itself. In milliseconds. */
  readonly timeoutMs: number
  /** Fires when the call must stop now. `signal.reason` is a {@link Failure}: ABORTED, DEADLINE, CLOSED. */
  readonly signal: AbortSignal
}

/** One topic at one priority: what a transport maps to a queue, a subject, a Kafka topic. */
export interface Destination {
  readonly topic: string
  readonly priority: Priority
  /** `<topic>.<priority in lower case>`, such as `notifications.info`. */
  readonly name: string
}

/**
 * One message of one call. Drivers treat it as read-only, and use the object itself as the handle for
 * `settle`.
 */
export interface OutboundMessage {
  /** The envelope's `message_id`, the same over every retry, driver and topic. */
  readonly id: string
  /**
   * `<id>/<destination name>`, and longer for a dead letter: what a broker may deduplicate on. The bare
   * `id` must not be used for that, since the same notification may go to two topics of one stream. It can
   * have some 300 characters: a transport that takes fewer hashes it.
   */
  readonly dedupId: string
  readonly destination: Destination
  /** Arrives as it was sent, byte for byte. What a transport cannot carry travels encoded and marked. */
  readonly body: Uint8Array
  readonly contentType: string
  /**
   * A name fits `^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$`. What it holds may be empty, is well-formed,
   * and has no control characters. Core checks both for what a program emits; a driver refuses other
   * ones with `INVALID`. Names that mean something to the broker (`CC`, `Nats-Rollup`) are carried under
   * another one, `notify-h-<name>`, and restored on receipt.
   */
  readonly headers: Readonly<Record<string, string>>
  /** Ordering key: a partition key, a FIFO group, or else the header `notify-key`. */
  readonly key?: string
}

/**
 * Reports the outcome of one message. Without a failure: the broker has it. May be called at any time,
 * from anywhere, more than once; only the first call for a message counts.
 */
export type Settle = (message: OutboundMessage, failure?: Failure) => void

/** What to consume. Without a group: the destination's default one, which everybody shares. */
export interface Source {
  readonly destination: Destination
  readonly group?: string
}

/** How to consume. */
export interface SubscribeOptions extends CallOptions {
  /** The most deliveries that may be unsettled at once, over all partitions or shards of the destination. */
  readonly prefetch: number
  /** Where a group begins when this call makes it. Absent: the transport's documented default. */
  readonly from?: 'new' | 'earliest'
}

/** One open consumer. */
export interface Subscription {
  /** Resolves once: with the reason when it ended by itself, `undefined` after `close`. Never rejects. */
  readonly ended: Promise<Failure | undefined>
  /**
   * No delivery comes after this has resolved; settling still works. It is final: core closes next. A poll that
   * is under way is let end, and what it brings is handed back.
   */
  pause(): Promise<void>
  /** Flushes settlements, hands back what is unsettled, and leaves no consumer. */
  close(options: CallOptions): Promise<void>
}

/** One received message, open until it is acknowledged or given back. */
export interface Delivery {
  readonly destination: Destination
  readonly body: Uint8Array
  readonly contentType?: string
  /** Strings, whatever was on the wire. Names that a driver cannot represent are left out. */
  readonly headers: Readonly<Record<string, string>>
  readonly key?: string
  /**
   * The broker's own count of deliveries, 1 at first, never going down. It guards against messages that
   * kill their process; attempts of handlers are counted by core. Absent without
   * `capabilities.deliveryCount`.
   */
  readonly deliveries?: number
  /**
   * Removes the message for good. `true`: handed to the broker, and nothing known against it. `false`:
   * the subscription has ended, and the message comes back. Never rejects; a second call is harmless, and
   * resolves `false` where the first was of the other kind. On a log with offsets, `true` may be said of a
   * message behind one that is still open, since the driver keeps it from being read again while it lives;
   * after a crash it comes again, as at least once allows. Of a message that had come before, `true` should
   * wait until the broker has acted on it: core then runs what may kill the process.
   */
  ack(): Promise<boolean>
  /**
   * Gives the message back, through no fault of its own, to be delivered again: to anybody, after
   * `delayMs` where the transport can wait. Resolves as `ack` does; rejects with `UNSUPPORTED`, the
   * delivery still open, where `capabilities.requeue` or `capabilities.delay` is false, or `delayMs` is more
   * than `delay.maxMs`.
   */
  requeue(options?: { readonly delayMs?: number }): Promise<boolean>
}

/** A change that `observe` tells of. */
export interface Status {
  readonly state: 'up' | 'down' | 'blocked'
  readonly failure?: Failure
}

/** What `health` answers. */
export interface Health {
  readonly ok: boolean
  /** Sentences for an operator: settings under which the broker could lose what it confirmed, and so on. */
  readonly warnings: readonly string[]
  readonly failure?: Failure
}

/**
 * What a transport can do. Users, the documentation's tables and the conformance suite all read this one
 * object. Whatever it rules out is refused with `UNSUPPORTED`, never accepted and ignored.
 */
export interface Capabilities {
  /** Who has a message that was settled without failure: nobody for sure, this process, the broker. */
  readonly confirms: 'none' | 'process' | 'broker'
  /** It keeps nothing. A notifier whose drivers all discard builds and encodes nothing. */
  readonly discards: boolean
  /**
   * `key`: within one call, once a message of a key has failed, those of that key behind it are settled
   * `UNAVAILABLE` with reason `after-failure`, scope `message`, retryable and not `maybeSent`. What is stored of
   * a key is then always a prefix. `none`: core has one message of a key in flight at a time.
   */
  readonly ordering: 'none' | 'key'
  /** For how long the broker drops a second message with a `dedupId` it has seen. In milliseconds. */
  readonly deduplication: false | { readonly windowMs: number }
  /** Whether `requeue` works. */
  readonly requeue: boolean
  /** Whether `requeue` can wait, and how long at most. */
  readonly delay: false | { readonly maxMs: number }
  /** Whether deliveries carry the broker's count. */
  readonly deliveryCount: boolean
  /** Whether a destination can have named groups beside the default one. */
  readonly groups: boolean
  /** How the members of a group share: message by message, or partition by partition. */
  readonly sharing: 'message' | 'partition'
  /** Whether a new group can begin at the earliest message that is still held. */
  readonly history: boolean
  /** How long a delivery can stay unsettled, in milliseconds. Absent: as long as the connection lives. */
  readonly holdMs?: number
  /** The largest message: body, key, header names and values, in bytes. */
  readonly maxMessageBytes: number
  /** The most messages in one call of `publish`. */
  readonly maxBatch: number
  /** The most bytes in one call of `publish`, counted as `maxMessageBytes` counts. */
  readonly maxBatchBytes: number
  /**
   * How much in flight brings the transport to full speed. Core never has more handed over at a time.
   * `calls` bounds the calls per destination, for request-and-answer transports; absent where the client
   * pipelines. With so many under way, core gathers messages for the next call, `maxBatch` at most; with
   * fewer, an emit waits for nothing.
   */
  readonly window: { readonly messages: number; readonly bytes: number; readonly calls?: number }
}

/**
 * Settles a whole batch with one failure, or with none. For drivers.
 *
 * @example
 * if (!connection) return settleAll(batch, settle, unavailable)
 */
export function settleAll(batch: readonly OutboundMessage[], settle: Settle, failure?: Failure): void {
  for (const message of batch) settle(message, failure)
}
