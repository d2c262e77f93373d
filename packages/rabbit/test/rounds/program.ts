import { setTimeout as sleep } from 'node:timers/promises'
import {
  createListener,
  createNotifier,
  type Driver,
  type Listener,
  type Notifier,
  PRIORITIES,
} from '@notify/core'

const BURST = 20
/** How many may be emitted and not handled before it pauses. */
const MOST_OPEN = 500
const HANDLING_MS = 2
const BACKOFF = { minMs: 10, maxMs: 50 }

/** A program that emits to itself, at all priorities, and keeps account of what became of each notification. */
export class Program {
  readonly ids: string[] = []
  readonly confirmed = new Set<string>()
  readonly failed = new Map<string, string>()
  /** How often each was handled. */
  readonly handled = new Map<string, number>()
  readonly strange: unknown[] = []
  /** From each cut to the handling of something that was emitted after it, in milliseconds. */
  readonly heals: number[] = []
  readonly #notifier: Notifier
  readonly #listener: Listener
  #cuts: { readonly at: number; readonly from: number }[] = []

  constructor(driver: Driver, topic: string) {
    const common = { driver, topics: [topic], backoff: BACKOFF, onStatus: () => {}, onFailure: () => {} }
    this.#notifier = createNotifier({ publisherId: 'shop', ...common })
    this.#listener = createListener({
      ...common,
      handlers: [{ handle: ({ message_id, payload }) => this.#handle(message_id, payload) }],
    })
  }

  async start(): Promise<void> {
    await this.#listener.start()
  }

  /** A burst, or what of it there is room for, but at least one. */
  emit(): void {
    const room = Math.max(1, MOST_OPEN - (this.ids.length - this.handled.size))
    for (let left = Math.min(BURST, room); left > 0; left--) {
      const n = this.ids.length
      const priority = PRIORITIES[n % PRIORITIES.length] as (typeof PRIORITIES)[number]
      const emission = this.#notifier.notify(priority, 'order.placed', { n })
      const id = emission.message_id
      this.ids.push(id)
      emission.then(
        () => this.confirmed.add(id),
        ({ code }) => this.failed.set(id, code),
      )
    }
  }

  /** Whether at least one publish is in flight, and one delivery unsettled. */
  isBusy(): boolean {
    return (this.#notifier.stats().drivers[0]?.inFlight ?? 0) > 0 && this.#listener.stats().pending > 0
  }

  /** Everything has ended, and what was confirmed is handled. */
  isDone(): boolean {
    const ended = this.confirmed.size + this.failed.size === this.ids.length
    return ended && this.#cuts.length === 0 && [...this.confirmed].every((id) => this.handled.has(id))
  }

  /** What is not done, for an error. */
  get state(): string {
    const { emitted, confirmed, failed, pending } = this.#notifier.stats()
    const missing = [...this.confirmed].filter((id) => !this.handled.has(id)).length
    const listener = JSON.stringify(this.#listener.stats())
    return `${emitted} emitted, ${confirmed} confirmed, ${failed} failed, ${pending} pending, ${missing} not handled, ${this.#cuts.length} cuts not over; ${listener}`
  }

  markCut(): void {
    this.#cuts.push({ at: performance.now(), from: this.ids.length })
  }

  async end(): Promise<void> {
    await this.#listener.stop()
    await this.#notifier.close()
  }

  async #handle(id: string, payload: unknown): Promise<void> {
    await sleep(HANDLING_MS)
    const { n } = payload as { n: number }
    if (this.ids[n] !== id) this.strange.push({ id, n })
    this.handled.set(id, (this.handled.get(id) ?? 0) + 1)
    this.#cuts = this.#cuts.filter(({ at, from }) => {
      if (n >= from) this.heals.push(Math.round(performance.now() - at))
      return n < from
    })
  }
}
