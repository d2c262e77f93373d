import {
  type CallOptions,
  type Delivery,
  type Failure,
  failure,
  type Source,
  type SubscribeOptions,
  type Subscription,
} from '@notify/core'
import type { Channel, ConsumeMessage } from 'amqplib'
import { aborted, bounded, deadline } from './bounded.ts'
import { closed, isFailure, lost, toFailure } from './classify.ts'
import { closeChannel, type Link, type Live, type Opened, openChannel } from './link.ts'
import { queueName, refuseName, type Topology } from './topology.ts'
import { fromWire } from './wire.ts'

/** AMQP's own limit, and 0 there means no limit at all. */
const MOST = 65_535
/** How long the broker may take to stop a consumer that is paused. */
const PAUSE_MS = 5_000

/** Opens a consumer on a channel of its own: what ends one, ends no other. */
export async function subscribe(
  link: Link,
  topology: Topology,
  { destination, group }: Source,
  onDelivery: (delivery: Delivery) => void,
  options: SubscribeOptions,
): Promise<Consumer> {
  const { signal, prefetch, from } = options
  if (from === 'earliest') {
    throw failure('UNSUPPORTED', 'from', 'RabbitMQ keeps nothing for a queue that is not there yet.')
  }
  if (signal.aborted) throw aborted(signal)
  const refused = refuseName(destination.name, group)
  if (refused !== undefined) throw refused
  const limits = deadline(options)
  const live = await link.connect(limits)
  const opened = await openChannel(live, (connection) => connection.createChannel(), limits).catch(
    (error) => {
      throw reasonOf(error, live)
    },
  )
  const { channel } = opened
  const queue = queueName(destination.name, group)
  const most = Math.min(prefetch, MOST)
  const consumer = new Consumer(
    live,
    channel,
    most,
    (message) => ({
      destination,
      ...fromWire(message, topology.queueType === 'quorum'),
    }),
    onDelivery,
  )
  channel.on('close', () => consumer.end(reasonOf(new Error('Channel closed'), live, opened)))
  try {
    await bounded('declaring', topology.prepare(channel, destination, [queue]), limits)
    await bounded('setting prefetch', channel.prefetch(most), limits)
    const consume = channel.consume(queue, (message) => consumer.receive(message), { noAck: false })
    consumer.tag = (await bounded('consuming', consume, limits)).consumerTag
    return consumer
  } catch (error) {
    consumer.end(undefined)
    void closeChannel(channel, live)
    throw reasonOf(error, live, opened)
  }
}

/** What the broker says of a channel is final if it is; whatever ends a connection that was open, another one can be had. */
function reasonOf(error: unknown, live: Live, opened?: Opened<Channel>): Failure {
  if (isFailure(error)) return error
  if (opened?.error !== undefined) return toFailure(opened.error)
  return live.error === undefined ? toFailure(error) : lost(live.error, false)
}

type Fate = 'open' | 'ack' | 'requeue'

/** What was settled in one turn goes out together. */
interface Turn {
  readonly handed: Promise<boolean>
  readonly resolve: (handed: boolean) => void
  readonly immediate: NodeJS.Immediate
  readonly tags: number[]
  /** One of them had come before. */
  again: boolean
}

export class Consumer implements Subscription {
  readonly ended: Promise<Failure | undefined>
  tag: string | undefined
  readonly #live: Live
  readonly #channel: Channel
  readonly #prefetch: number
  readonly #decode: (message: ConsumeMessage) => Omit<Delivery, 'ack' | 'requeue'>
  readonly #onDelivery: (delivery: Delivery) => void
  /** By delivery tag, which grows: what the broker regards as unsettled. */
  readonly #unsettled = new Map<number, Fate>()
  #end: (reason: Failure | undefined) => void = () => {}
  #turn: Turn | undefined
  #over = false
  #paused: Promise<void> | undefined
  readonly #left = new AbortController()
  #silent = false
  /** The broker has acted on what was settled last. */
  #acted: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(
    live: Live,
    channel: Channel,
    prefetch: number,
    decode: (message: ConsumeMessage) => Omit<Delivery, 'ack' | 'requeue'>,
    onDelivery: (delivery: Delivery) => void,
  ) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#live = live
    this.#channel = channel
    this.#prefetch = prefetch
    this.#decode = decode
    this.#onDelivery = onDelivery
  }

  receive(message: ConsumeMessage | null): void {
    if (this.#over) return
    if (message === null) {
      this.end(
        failure(
          'UNAVAILABLE',
          'cancelled',
          'The broker ended the consumer: its queue moved or was deleted, or a delivery was held for longer than consumer_timeout.',
          {
            retryable: true,
            scope: 'destination',
          },
        ),
      )
      void closeChannel(this.#channel, this.#live)
      return
    }
    const { deliveryTag } = message.fields
    this.#unsettled.set(deliveryTag, 'open')
    // Too late for a handler: it comes back when the channel closes.
    if (!this.#silent) this.#onDelivery(this.#toDelivery(message))
  }

  pause(): Promise<void> {
    this.#paused ??= this.#cancel({ timeoutMs: PAUSE_MS, signal: this.#left.signal })
    return this.#paused
  }

  close(options: CallOptions): Promise<void> {
    this.#closing ??= this.#close(deadline(options)).finally(() => this.#left.abort(closed()))
    return this.#closing
  }

  /** Once. What is unsettled comes back by itself. */
  end(reason: Failure | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#unsettled.clear()
    if (this.#turn !== undefined) {
      clearImmediate(this.#turn.immediate)
      this.#turn.resolve(false)
      this.#turn = undefined
    }
    this.#end(reason)
  }

  async #cancel(call: CallOptions): Promise<void> {
    try {
      if (!this.#over && this.tag !== undefined) {
        await bounded('pausing', this.#channel.cancel(this.tag), call)
      }
    } catch {
      // The connection is gone, or silent: what still comes is not passed on.
    }
    this.#silent = true
  }

  async #close(limits: CallOptions): Promise<void> {
    if (this.#over) return
    await bounded('pausing', this.#paused ?? this.#cancel(limits), limits).catch(() => {})
    this.#silent = true
    do {
      this.#flush()
      await bounded('settling', this.#acted, limits).catch(() => {})
    } while (this.#turn !== undefined && limits.timeoutMs > 0 && !limits.signal.aborted)
    this.#flush()
    try {
      // In so many words: newer brokers count a channel that closes against the message, and this not.
      if (!this.#over && this.#unsettled.size > 0) this.#channel.nackAll(true)
    } catch {
      // It is gone, and so they come back.
    }
    this.end(undefined)
    const closing = closeChannel(this.#channel, this.#live)
    // Who does not wait for it does not take the connection from its siblings.
    await bounded('closing', closing, limits).catch(() => {})
  }

  #toDelivery(message: ConsumeMessage): Delivery {
    const { fields } = message
    let settled: { fate: Fate; handed: Promise<boolean> } | undefined
    const settle = (fate: Fate): Promise<boolean> => {
      settled ??= { fate, handed: this.#settle(fields, fate) }
      return settled.fate === fate ? settled.handed : Promise.resolve(false)
    }
    return {
      ...this.#decode(message),
      ack: () => settle('ack'),
      requeue: ({ delayMs = 0 } = {}) =>
        delayMs > 0
          ? Promise.reject(failure('UNSUPPORTED', 'delay', 'RabbitMQ gives back at once.'))
          : settle('requeue'),
    }
  }

  #settle({ deliveryTag, redelivered }: ConsumeMessage['fields'], fate: Fate): Promise<boolean> {
    if (this.#over) return Promise.resolve(false)
    this.#unsettled.set(deliveryTag, fate)
    if (this.#turn === undefined) {
      const { promise, resolve } = Promise.withResolvers<boolean>()
      const immediate = setImmediate(() => this.#flush())
      this.#turn = { handed: promise, resolve, immediate, tags: [], again: false }
    }
    this.#turn.tags.push(deliveryTag)
    this.#turn.again ||= redelivered
    return this.#turn.handed
  }

  /** Everything up to the first that is still open goes out as one acknowledgement. */
  #flush(): void {
    const turn = this.#turn
    if (turn === undefined) return
    this.#turn = undefined
    clearImmediate(turn.immediate)
    try {
      let through = 0
      let joined = 0
      for (const [tag, fate] of this.#unsettled) {
        if (fate === 'open') break
        if (fate === 'ack') {
          through = tag
          joined++
        } else this.#channel.nack(tagged(tag), false, true)
        this.#unsettled.delete(tag)
      }
      // The others lie behind one that is open, which may be many and stay so for long.
      for (const tag of turn.tags) {
        const fate = this.#unsettled.get(tag)
        if (fate === 'ack') this.#channel.ack(tagged(tag), false)
        else if (fate === 'requeue') this.#channel.nack(tagged(tag), false, true)
        this.#unsettled.delete(tag)
      }
      if (joined > 0) this.#channel.ack(tagged(through), joined > 1)
      if (turn.again) this.#actedOn(turn)
      else turn.resolve(true)
    } catch {
      turn.resolve(false)
    }
  }

  /**
   * The broker may never act on what it has read from a connection that ends right then, and a message that comes again
   * may have a neighbour that kills the process. Setting what is set already is answered after all that came before.
   */
  #actedOn({ resolve }: Turn): void {
    this.#acted = this.#channel.prefetch(this.#prefetch).then(
      () => resolve(true),
      () => resolve(false),
    )
  }
}

/** All that amqplib reads of a message in order to settle it. */
function tagged(deliveryTag: number): ConsumeMessage {
  return { fields: { deliveryTag } } as ConsumeMessage
}
