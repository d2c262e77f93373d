import {
  type Delivery,
  type Destination,
  type Failure,
  failure as fault,
  type Subscription,
} from '@notify/core'
import { Fifo, Heap } from './collections.ts'

import type { Turns } from './turns.ts'

/** The longest that a host's timer can wait, and so the longest delay that is offered. */
export const MAX_DELAY_MS: number = 2 ** 31 - 1

const TOO_LONG = fault('UNSUPPORTED', 'delay', `A delay is at most ${MAX_DELAY_MS} ms.`)
const NOISE_MS = 1e-6

/** One message as the broker keeps it. Its bytes are its own, and all queues of a destination share them. */
export interface Stored {
  /** Grows with each message: what "in order" means. */
  readonly sequence: number
  readonly body: Uint8Array
  readonly contentType: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly key: string | undefined
  /** In bytes: body, key, header names and values. */
  readonly size: number
}

/** One message in one queue. */
export interface Entry {
  readonly message: Stored
  deliveries: number
  /** When a delayed one is due again. */
  due: number
}

/**
 * First in, first out; what is given back takes its old place at the front. Every operation costs the same
 * however many wait, or the logarithm of what was given back.
 */
export class Queue {
  /** What it holds, unsettled and delayed ones included. */
  messages = 0
  bytes = 0

  readonly #turns: Turns
  readonly #waiting = new Fifo<Entry>()
  readonly #returned = new Heap<Entry>((a, b) => a.message.sequence < b.message.sequence)
  /** With their timers. Without a consumer nothing waits for them, and the timers are off. */
  readonly #delayed = new Map<Entry, ReturnType<typeof setTimeout>>()
  readonly #consumers: Consumer[] = []
  #turn = 0
  #pumping = false

  constructor(turns: Turns) {
    this.#turns = turns
  }

  get consumers(): number {
    return this.#consumers.length
  }

  push(message: Stored): void {
    this.#waiting.push({ message, deliveries: 0, due: 0 })
    this.messages++
    this.bytes += message.size
    this.#wake()
  }

  consume(destination: Destination, onDelivery: (delivery: Delivery) => void, prefetch: number): Consumer {
    const consumer = new Consumer(this, destination, onDelivery, prefetch)
    if (this.#consumers.length === 0) {
      const now = performance.now()
      for (const entry of this.#delayed.keys()) this.#delay(entry, Math.max(0, entry.due - now))
    }
    this.#consumers.push(consumer)
    this.#wake()
    return consumer
  }

  /** Takes a consumer away; what it had not settled is there for the others. */
  release(consumer: Consumer): void {
    const index = this.#consumers.indexOf(consumer)
    if (index === -1) return
    this.#consumers.splice(index, 1)
    for (const entry of consumer.unsettled) this.#returned.push(entry)
    consumer.unsettled.clear()
    if (this.#consumers.length === 0) for (const timer of this.#delayed.values()) clearTimeout(timer)
    this.#wake()
  }

  acknowledge(consumer: Consumer, entry: Entry): boolean {
    if (!consumer.unsettled.delete(entry)) return false
    this.messages--
    this.bytes -= entry.message.size
    this.#wake()
    return true
  }

  giveBack(consumer: Consumer, entry: Entry, delayMs: number): boolean {
    if (!consumer.unsettled.delete(entry)) return false
    if (delayMs > 0) {
      entry.due = performance.now() + delayMs
      this.#delay(entry, delayMs)
    } else {
      this.#returned.push(entry)
    }
    this.#wake()
    return true
  }

  /** It is deleted: what it holds goes with it. */
  end(failure: Failure): void {
    for (const consumer of [...this.#consumers]) consumer.end(failure)
  }

  /** Everything it holds, the oldest first. */
  all(): Entry[] {
    const entries = [...this.#waiting, ...this.#returned.items, ...this.#delayed.keys()]
    for (const { unsettled } of this.#consumers) for (const entry of unsettled) entries.push(entry)
    return entries.sort((a, b) => a.message.sequence - b.message.sequence)
  }

  #wake(): void {
    if (this.#pumping) return
    this.#pumping = true
    this.#turns.add(this.#pump)
  }

  #pump = (): void => {
    this.#pumping = false
    while (this.#returned.items.length > 0 || this.#waiting.size > 0) {
      const consumer = this.#nextConsumer()
      if (consumer === undefined) return
      const entry = this.#returned.pop() ?? (this.#waiting.shift() as Entry)
      entry.deliveries++
      const more = this.#turns.spend(1)
      consumer.deliver(entry)
      if (!more) {
        this.#wake()
        return
      }
    }
  }

  /** Members take turns, so that all of them work. */
  #nextConsumer(): Consumer | undefined {
    const count = this.#consumers.length
    for (let step = 0; step < count; step++) {
      const index = (this.#turn + step) % count
      const consumer = this.#consumers[index] as Consumer
      if (!consumer.hasRoom) continue
      this.#turn = index + 1
      return consumer
    }
    return undefined
  }

  #delay(entry: Entry, ms: number): void {
    // Less than a nanosecond is the noise of adding and subtracting, and must not cost a whole millisecond.
    const timer = setTimeout(() => this.#undelay(entry), Math.ceil(ms - NOISE_MS))
    this.#delayed.set(entry, timer)
  }

  #undelay(entry: Entry): void {
    const early = entry.due - performance.now()
    // Host timers may fire a fraction early, and a promise of "not before" is one. Earlier than that, a test
    // drives the timers and not the clock: then the timer is right.
    if (early > NOISE_MS && early < 2) {
      this.#delay(entry, 1)
      return
    }
    this.#delayed.delete(entry)
    this.#returned.push(entry)
    this.#wake()
  }
}

/** One member of a group. */
export class Consumer implements Subscription {
  readonly ended: Promise<Failure | undefined>
  readonly unsettled: Set<Entry> = new Set()
  readonly #queue: Queue
  readonly #destination: Destination
  readonly #onDelivery: (delivery: Delivery) => void
  readonly #prefetch: number
  readonly #end: (failure: Failure | undefined) => void
  #paused = false

  constructor(
    queue: Queue,
    destination: Destination,
    onDelivery: (delivery: Delivery) => void,
    prefetch: number,
  ) {
    let end: (failure: Failure | undefined) => void = () => {}
    this.ended = new Promise((resolve) => {
      end = resolve
    })
    this.#end = end
    this.#queue = queue
    this.#destination = destination
    this.#onDelivery = onDelivery
    this.#prefetch = prefetch
  }

  get hasRoom(): boolean {
    return !this.#paused && this.unsettled.size < this.#prefetch
  }

  deliver(entry: Entry): void {
    this.unsettled.add(entry)
    const { body, contentType, headers, key } = entry.message
    let outcome: 'open' | 'acknowledged' | 'given back' = 'open'
    this.#onDelivery({
      destination: this.#destination,
      // Copies: a handler may scribble over what it got, and the next delivery must not show it.
      body: new Uint8Array(body),
      headers: { ...headers },
      deliveries: entry.deliveries,
      ...(contentType === undefined ? {} : { contentType }),
      ...(key === undefined ? {} : { key }),
      ack: () => {
        if (outcome === 'open' && this.#queue.acknowledge(this, entry)) outcome = 'acknowledged'
        return Promise.resolve(outcome === 'acknowledged')
      },
      requeue: ({ delayMs = 0 } = {}) => {
        if (delayMs > MAX_DELAY_MS) return Promise.reject(TOO_LONG)
        if (outcome === 'open' && this.#queue.giveBack(this, entry, delayMs)) outcome = 'given back'
        return Promise.resolve(outcome === 'given back')
      },
    })
  }

  /** With a failure: it cannot go on. Without: somebody closed it. */
  end(failure?: Failure): void {
    this.#queue.release(this)
    this.#end(failure)
  }

  async pause(): Promise<void> {
    this.#paused = true
  }

  async close(): Promise<void> {
    this.end()
  }
}
