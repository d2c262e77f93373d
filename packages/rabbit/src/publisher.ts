import {
  type CallOptions,
  checkMessage,
  type Destination,
  type Failure,
  failure,
  type OutboundMessage,
  type Settle,
} from '@notify/core'
import type { ConfirmChannel } from 'amqplib'
import { aborted, bounded, deadline } from './bounded.ts'
import { classify, closed, lost, toFailure } from './classify.ts'
import { closeChannel, type Link, type Live, type Opened, openChannel } from './link.ts'
import { refuseName, type Topology } from './topology.ts'
import { toWire } from './wire.ts'

/** How long a step that several calls wait for may take: each call has its own bound as well. */
const STEP_MS = 10_000
/** How long the end waits for the channel's own: the connection closes next, and that closes all. */
const CLOSE_MS = 1_000
/** After so many nacks in a row a channel is not trusted: since an election it may nack for ever. */
const NACKS_AT_FIRST = 2
const NACKS = 50

/** One message of one call, until the broker has answered. What was settled before stays as a shell. */
interface Open {
  message: OutboundMessage | undefined
  readonly settle: Settle
  readonly watch: Watch
  readonly id: string
  readonly name: string
  readonly bodyBytes: number
  /** The channel that it was written to. */
  lane: Lane | undefined
  /** Nothing took it; `perhaps`: that, or another attempt of the same id was meant. */
  returned: boolean | 'perhaps'
}

/** One listener for all that a signal may end. */
interface Watch {
  readonly signal: AbortSignal
  readonly onAbort: () => void
  count: number
}

/** One confirm channel. */
interface Lane extends Opened<ConfirmChannel> {
  readonly live: Live
  /** How many are written and not answered, and how many were when the broker closed it. */
  open: number
  openAtError: number
  confirmed: number
  nacksInARow: number
  /** Nothing new is written to it. */
  retired: boolean
}

/** Publishes over one confirm channel; an answer settles its message at once. */
export class Publisher {
  readonly #link: Link
  readonly #topology: Topology
  readonly #maxMessageBytes: number
  readonly #open = new Set<Open>()
  readonly #watches = new Map<AbortSignal, Watch>()
  readonly #preparing = new Map<string, Promise<void>>()
  #lane: Lane | undefined
  #openingLane: Promise<Lane> | undefined
  #unsettled = 0
  #closed = false
  #whenIdle: (() => void) | undefined

  constructor(link: Link, topology: Topology, maxMessageBytes: number) {
    this.#link = link
    this.#topology = topology
    this.#maxMessageBytes = maxMessageBytes
  }

  publish(batch: readonly OutboundMessage[], settle: Settle, call: CallOptions): void {
    const { signal } = call
    const refused = this.#refusal(batch, signal)
    const opened: Open[] = []
    for (const message of batch) {
      const failed = refused ?? this.#check(message)
      if (failed !== undefined) settle(message, failed)
      else opened.push(this.#admit(message, settle, signal))
    }
    const [first] = opened
    if (first?.message === undefined) return
    const { destination } = first.message
    const lane = this.#lane
    if (lane !== undefined && this.#isPrepared(lane.live, destination)) {
      for (const open of opened) this.#write(lane, open)
    } else {
      void this.#writeLater(opened, destination, call)
    }
  }

  /** Waits for answers as long as the call allows, then settles what is left. Never rejects. */
  async close(call: CallOptions): Promise<void> {
    this.#closed = true
    if (this.#unsettled > 0) {
      const idle = new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
      await bounded('the last answers', idle, call).catch(() => {})
      for (const open of [...this.#open])
        this.#settle(open, { ...closed(), maybeSent: open.lane !== undefined })
    }
    const lane = this.#lane
    this.#lane = undefined
    if (lane === undefined) return
    const limits = { ...call, timeoutMs: Math.min(call.timeoutMs, CLOSE_MS) }
    await bounded('closing a channel', closeChannel(lane.channel, lane.live), limits).catch(() => {})
  }

  #refusal([first]: readonly OutboundMessage[], signal: AbortSignal): Failure | undefined {
    if (this.#closed) return closed()
    if (signal.aborted) return aborted(signal)
    return first === undefined ? undefined : refuseName(first.destination.name)
  }

  #check(message: OutboundMessage): Failure | undefined {
    try {
      return checkMessage(message, this.#maxMessageBytes)
    } catch (cause) {
      return failure('UNKNOWN', 'unreadable', 'The message could not be read.', { cause })
    }
  }

  #admit(message: OutboundMessage, settle: Settle, signal: AbortSignal): Open {
    let watch = this.#watches.get(signal)
    if (watch === undefined) {
      watch = { signal, onAbort: () => this.#abort(signal), count: 0 }
      this.#watches.set(signal, watch)
      signal.addEventListener('abort', watch.onAbort)
    }
    watch.count++
    this.#unsettled++
    const { id, body, destination } = message
    const open: Open = {
      message,
      settle,
      watch,
      id,
      name: destination.name,
      bodyBytes: body.byteLength,
      lane: undefined,
      returned: false,
    }
    this.#open.add(open)
    return open
  }

  #abort(signal: AbortSignal): void {
    for (const open of [...this.#open]) {
      if (open.watch.signal === signal) this.#settle(open, aborted(signal, open.lane !== undefined))
    }
  }

  #settle(open: Open, outcome?: Failure): void {
    const { message, settle, watch, lane } = open
    if (message === undefined) return
    // A shell of what was written stays until it is answered: a return must not hit a later one of the same id.
    open.message = undefined
    if (lane === undefined) this.#open.delete(open)
    if (--watch.count === 0) {
      this.#watches.delete(watch.signal)
      watch.signal.removeEventListener('abort', watch.onAbort)
    }
    this.#unsettled--
    settle(message, outcome)
    if (this.#unsettled === 0) this.#whenIdle?.()
  }

  #isPrepared(live: Live, { name }: Destination): boolean {
    return this.#topology.mode === 'none' || live.prepared.has(name)
  }

  async #writeLater(opened: readonly Open[], destination: Destination, call: CallOptions): Promise<void> {
    const limits = deadline({ ...call, clock: this.#link.clock })
    try {
      // In a turn of its own: whoever calls from within the end of a connection must not meet what is left of it.
      await undefined
      this.#openingLane ??= this.#openLane().finally(() => {
        this.#openingLane = undefined
      })
      const lane = this.#lane ?? (await bounded('a channel', this.#openingLane, limits))
      if (!this.#isPrepared(lane.live, destination)) {
        await bounded('a queue', this.#prepare(lane.live, destination), limits)
      }
      for (const open of opened) if (open.message !== undefined) this.#write(lane, open)
    } catch (error) {
      const failed = { ...toFailure(error), maybeSent: false }
      for (const open of opened) if (open.lane === undefined) this.#settle(open, failed)
    }
  }

  async #openLane(): Promise<Lane> {
    if (this.#lane !== undefined) return this.#lane
    const call = { timeoutMs: 2 ** 31 - 1, signal: new AbortController().signal }
    const live = await this.#link.connect(call)
    const limits = { ...call, timeoutMs: STEP_MS, clock: this.#link.clock }
    const opened = await openChannel(live, (connection) => connection.createConfirmChannel(), limits)
    const lane: Lane = Object.assign(opened, {
      live,
      open: 0,
      openAtError: 0,
      confirmed: 0,
      nacksInARow: 0,
      retired: false,
    })
    const { channel } = lane
    channel.on('error', () => {
      lane.openAtError = lane.open
    })
    channel.on('close', () => this.#leave(lane))
    channel.on('return', ({ fields, properties }) => {
      const { routingKey } = fields as { routingKey: string }
      this.#returned(lane, properties.messageId as string, routingKey)
    })
    this.#lane = lane
    return lane
  }

  /** On a channel of its own: the broker's refusal ends it, and must not take along what is in flight. */
  #prepare(live: Live, destination: Destination): Promise<void> {
    const { name } = destination
    const known = this.#preparing.get(name)
    if (known !== undefined) return known
    const preparing = this.#prepareNow(live, destination).finally(() => this.#preparing.delete(name))
    this.#preparing.set(name, preparing)
    return preparing
  }

  async #prepareNow(live: Live, destination: Destination): Promise<void> {
    const { clock } = this.#link
    const limits = deadline({ timeoutMs: STEP_MS, signal: new AbortController().signal, clock })
    const { channel } = await openChannel(live, (connection) => connection.createChannel(), limits)
    try {
      const queues = this.#topology.queuesOf(destination)
      await bounded('declaring', this.#topology.prepare(channel, destination, queues), limits)
      live.prepared.add(destination.name)
    } finally {
      void closeChannel(channel, live)
    }
  }

  #write(lane: Lane, open: Open): void {
    try {
      const { content, options } = toWire(open.message as OutboundMessage)
      lane.channel.publish(this.#topology.exchange, open.name, content, options, (error: unknown) =>
        this.#answer(lane, open, error as Error | null),
      )
      open.lane = lane
      lane.open++
    } catch (error) {
      // Thrown before a byte was written.
      const failed = classify(error)
      this.#settle(open, failed.retryable ? failed : { ...failed, scope: 'message' })
    }
  }

  #answer(lane: Lane, open: Open, error: Error | null): void {
    const nacked = error?.message === 'message nacked'
    // Before anybody hears of it and comes back.
    if (error !== null && !nacked) this.#leave(lane)
    const outcome = open.returned ? this.#unroutable(open) : this.#outcome(lane, open, error, nacked)
    this.#open.delete(open)
    lane.open--
    if (error === null) {
      lane.confirmed++
      lane.nacksInARow = 0
    } else if (nacked && ++lane.nacksInARow >= (lane.confirmed === 0 ? NACKS_AT_FIRST : NACKS)) {
      this.#leave(lane)
    }
    if (lane.retired && lane.open === 0 && (error === null || nacked))
      void closeChannel(lane.channel, lane.live)
    this.#settle(open, outcome)
  }

  #outcome(lane: Lane, open: Open, error: Error | null, nacked: boolean): Failure | undefined {
    if (error === null) return undefined
    // Whatever else is bound there may have kept it.
    if (nacked) return classify(error, true)
    if (lane.error === undefined) return lost(lane.live.error ?? error, true)
    return blame(lane.error, {
      body: open.bodyBytes,
      name: open.name,
      alone: lane.openAtError === 1,
      fresh: lane.confirmed === 0,
      declares: this.#topology.mode === 'declare',
    })
  }

  /** A return comes before the confirm, and says no more than this of what it belongs to. */
  #returned(lane: Lane, id: string, name: string): void {
    lane.live.prepared.delete(name)
    const meant: Open[] = []
    for (const open of this.#open) {
      if (open.lane === lane && open.id === id && open.name === name && open.returned !== true)
        meant.push(open)
    }
    // An earlier attempt may still wait for its answer. To confirm what nothing took would be to lose it.
    for (const open of meant) open.returned = meant.length === 1 || 'perhaps'
  }

  #unroutable({ name, returned }: Open): Failure {
    if (returned === 'perhaps') {
      return failure('UNAVAILABLE', 'queue-gone', `Nothing took ${name}, this time or the time before.`, {
        retryable: true,
        maybeSent: true,
        scope: 'destination',
      })
    }
    if (this.#topology.mode === 'declare') {
      // It was there when it was declared. The next call declares it again.
      return failure('UNAVAILABLE', 'queue-gone', `Nothing takes ${name} any more.`, {
        retryable: true,
        scope: 'destination',
      })
    }
    return failure('UNROUTABLE', 'no-route', `No queue is bound for ${name}.`, { scope: 'destination' })
  }

  #leave(lane: Lane): void {
    lane.retired = true
    if (this.#lane === lane) this.#lane = undefined
  }
}

/** What is known of a message that was in flight when the broker closed the channel. */
interface Suspect {
  readonly body: number
  readonly name: string
  /** Nothing else was in flight. */
  readonly alone: boolean
  /** The channel had confirmed nothing yet. */
  readonly fresh: boolean
  readonly declares: boolean
}

/**
 * Who is at fault when the broker closes a channel: it names no message. The others in flight are innocent, and
 * nobody knows whether they arrived.
 */
export function blame(error: unknown, { body, name, alone, fresh, declares }: Suspect): Failure {
  const told = classify(error)
  const text = String((error as { message?: unknown } | undefined)?.message ?? '')
  const innocent = failure('UNAVAILABLE', 'channel-lost', 'The channel was lost through another message.', {
    retryable: true,
    maybeSent: true,
    cause: error,
  })
  if (told.code === 'UNAVAILABLE') return { ...told, maybeSent: true }
  if (told.code === 'TOO_LARGE') {
    return body === Number(/message size (\d+)/.exec(text)?.[1]) ? told : innocent
  }
  if (told.reason === 'no-exchange' && declares) return { ...innocent, reason: 'exchange-gone' }
  const topic = /access to topic '([^']+)'/.exec(text)?.[1]
  if (topic !== undefined) return topic === name ? told : innocent
  if (alone) return told
  // All publishes go to one exchange. Where the channel has confirmed something, it may have been there until now.
  return fresh && told.scope !== 'message' ? { ...told, maybeSent: true } : innocent
}
