import type { Driver, OutboundMessage } from '@notify/core'
import type { Call } from '../call.ts'
import type { Outcome } from '../claims.ts'
import type { Trial } from '../trial.ts'

export interface PressureOptions {
  /** What the next call takes, all for one destination; `undefined` when there is no more. */
  readonly next: () => readonly OutboundMessage[] | undefined
  /** No more than so many messages are in flight. Default: what the driver's window allows. */
  readonly inFlight?: number
  /** Default: 60,000. */
  readonly timeoutMs?: number
  /** Called within each settle. */
  readonly onSettle?: (message: OutboundMessage, outcome: Outcome) => void
}

/** So many calls are handed over in one turn: a driver that answers at once must not keep the process to itself. */
const CALLS_PER_TURN = 50

/** Keeps a driver busy, as full as core would at most. What comes of it is for the case to judge. */
export class Pressure {
  readonly calls: Call[] = []
  /** Resolves when nothing more is handed over, because there is no more or it was stopped. */
  readonly over: Promise<void>
  readonly #trial: Trial
  readonly #driver: Driver
  readonly #options: PressureOptions
  readonly #inFlight: number
  readonly #open = new Map<string, number>()
  readonly #finish: () => void
  #next: readonly OutboundMessage[] | undefined
  #unsettled = 0
  #bytes = 0
  #pumping = false
  #stopped = false

  constructor(trial: Trial, driver: Driver, options: PressureOptions) {
    this.#trial = trial
    this.#driver = driver
    this.#options = options
    this.#inFlight = Math.min(options.inFlight ?? Number.POSITIVE_INFINITY, mostInFlight(trial))
    const { promise, resolve } = Promise.withResolvers<void>()
    this.over = promise
    this.#finish = resolve
    trial.after(() => this.stop())
    setImmediate(this.#pump)
  }

  /** How many are handed over and not settled. */
  get unsettled(): number {
    return this.#unsettled
  }

  stop(): void {
    this.#stopped = true
    this.#finish()
  }

  #pump = (): void => {
    if (this.#pumping || this.#stopped) return
    this.#pumping = true
    for (let handed = 0; handed < CALLS_PER_TURN && !this.#stopped; handed++) {
      this.#next ??= this.#options.next()
      if (this.#next === undefined) {
        this.stop()
        break
      }
      if (!this.#hasRoom(this.#next)) {
        this.#pumping = false
        return
      }
      const batch = this.#next
      this.#next = undefined
      this.#hand(batch)
    }
    setImmediate(() => {
      this.#pumping = false
      this.#pump()
    })
  }

  #hasRoom(batch: readonly OutboundMessage[]): boolean {
    if (this.#unsettled === 0) return true
    const { calls = Number.POSITIVE_INFINITY, bytes } = this.#trial.capabilities.window
    return (
      this.#unsettled + batch.length <= this.#inFlight &&
      this.#bytes + total(batch) <= bytes &&
      (this.#open.get(nameOf(batch)) ?? 0) < calls
    )
  }

  #hand(batch: readonly OutboundMessage[]): void {
    const { timeoutMs = 60_000, onSettle } = this.#options
    const name = nameOf(batch)
    this.#unsettled += batch.length
    this.#bytes += total(batch)
    this.#open.set(name, (this.#open.get(name) ?? 0) + 1)
    const left = new Set(batch)
    const call = this.#trial.send(this.#driver, batch, {
      timeoutMs,
      onSettle: (message, outcome) => {
        if (!left.delete(message)) return
        this.#unsettled--
        this.#bytes -= sizeOf(message)
        if (left.size === 0) this.#open.set(name, (this.#open.get(name) ?? 1) - 1)
        onSettle?.(message, outcome)
        this.#pump()
      },
    })
    this.calls.push(call)
  }
}

/** How many messages core would have in flight, for one destination, at most. */
export function mostInFlight({ capabilities }: Trial): number {
  const { window, maxBatch } = capabilities
  return Math.min(window.messages, (window.calls ?? Number.POSITIVE_INFINITY) * maxBatch)
}

function nameOf(batch: readonly OutboundMessage[]): string {
  return batch[0]?.destination.name ?? ''
}

function total(batch: readonly OutboundMessage[]): number {
  return batch.reduce((sum, message) => sum + sizeOf(message), 0)
}

/** Headers and keys of what a case makes are small. */
function sizeOf({ body }: OutboundMessage): number {
  return body.length + 1_000
}
