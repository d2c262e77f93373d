import {
  type CallOptions,
  type Delivery,
  type Failure,
  failure,
  type Source,
  type Subscription,
} from '@notify/core'
import { bounded } from './bounded.ts'
import type { Connection } from './connection.ts'
import type { Topology } from './topology.ts'
import { fromWire } from './wire.ts'

/** What the broker says of one delivery. */
interface Received {
  readonly delivery?: number
  readonly deliveries?: number
  readonly message?: unknown
}

type Fate = 'ack' | 'requeue'

/** One consumer at the broker. `prefetch` is the credit that the broker gives it. */
export class Consumer implements Subscription {
  readonly ended: Promise<Failure | undefined>
  readonly #connection: Connection
  readonly #topology: Topology
  readonly #source: Source
  readonly #onDelivery: (delivery: Delivery) => void
  readonly #id: number
  /** Settlements that the broker has not answered. */
  readonly #settling = new Set<(done: boolean) => void>()
  #end: (reason: Failure | undefined) => void = () => {}
  #over = false
  #silent = false
  #closing: Promise<void> | undefined

  constructor(
    connection: Connection,
    topology: Topology,
    source: Source,
    onDelivery: (delivery: Delivery) => void,
  ) {
    this.ended = new Promise((resolve) => {
      this.#end = resolve
    })
    this.#connection = connection
    this.#topology = topology
    this.#source = source
    this.#onDelivery = onDelivery
    this.#id = connection.add(this)
  }

  async open(credit: number): Promise<void> {
    const { destination, group = null } = this.#source
    // JSON has no infinity.
    const most = Math.min(credit, Number.MAX_SAFE_INTEGER)
    await this.#ask('subscribe', { to: destination.name, group, credit: most })
  }

  receive({ delivery = 0, deliveries = 1, message }: Received): void {
    // Too late for a handler, but not for another consumer.
    if (this.#silent) void this.#ask('requeue', { delivery }).catch(() => {})
    else this.#onDelivery(this.#toDelivery(delivery, deliveries, message))
  }

  async pause(): Promise<void> {
    if (this.#silent) return
    this.#silent = true
    void this.#ask('pause').catch(() => {})
  }

  close(options: CallOptions): Promise<void> {
    this.#closing ??= this.#close(options)
    return this.#closing
  }

  /** Once. What is unsettled comes back by itself. */
  end(reason: Failure | undefined): void {
    if (this.#over) return
    this.#over = true
    this.#connection.consumers.delete(this.#id)
    for (const resolve of this.#settling) resolve(false)
    this.#end(reason === undefined ? undefined : this.#topology.explain(reason))
  }

  async #close(options: CallOptions): Promise<void> {
    if (this.#over) return
    this.#silent = true
    // Behind all settlements, and so it is answered after them. The broker gives back the rest.
    const gone = this.#ask('unsubscribe')
    await bounded(gone, options).catch(() => {})
    this.end(undefined)
  }

  #toDelivery(delivery: number, deliveries: number, message: unknown): Delivery {
    let settled: { readonly fate: Fate; readonly done: Promise<boolean> } | undefined
    const settle = (fate: Fate): Promise<boolean> => {
      settled ??= { fate, done: this.#settle(fate, delivery) }
      return settled.fate === fate ? settled.done : Promise.resolve(false)
    }
    return {
      destination: this.#source.destination,
      ...fromWire(message),
      deliveries,
      ack: () => settle('ack'),
      requeue: ({ delayMs = 0 } = {}) =>
        delayMs > 0
          ? Promise.reject(failure('UNSUPPORTED', 'delay', 'Acme gives back at once.'))
          : settle('requeue'),
    }
  }

  #settle(fate: Fate, delivery: number): Promise<boolean> {
    if (this.#over) return Promise.resolve(false)
    return new Promise((resolve) => {
      this.#settling.add(resolve)
      const done = (acted: boolean): void => {
        this.#settling.delete(resolve)
        resolve(acted)
      }
      this.#ask(fate, { delivery }).then(
        () => done(true),
        () => done(false),
      )
    })
  }

  #ask(what: string, rest: object = {}): Promise<void> {
    return this.#connection.ask({ do: what, consumer: this.#id, ...rest })
  }
}
