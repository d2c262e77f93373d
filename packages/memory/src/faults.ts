import {
  type ErrorCode,
  type Failure,
  failure as fault,
  type OutboundMessage,
  type Status,
} from '@notify/core'
import { likely } from './failures.ts'

/** How `fail` fails. Whatever is left out follows from the code. */
export interface FailOptions extends Partial<Omit<Failure, 'code'>> {
  /** How many messages. Default: 1. */
  readonly times?: number
  /** Which messages. Default: all. */
  readonly when?: (message: OutboundMessage) => boolean
  /** The message is stored all the same, as when an answer gets lost. Say `maybeSent: true` with it. */
  readonly stored?: boolean
}

/** A failure that a test asked for. */
export interface Script {
  readonly failure: Failure
  readonly stored: boolean
}

/** What can go wrong with a driver's connection, by a test's order. */
export class Faults {
  #connected = true
  #blocked = false
  #stalled = false
  readonly #scripts: (Script & {
    times: number
    when: ((message: OutboundMessage) => boolean) | undefined
  })[] = []
  readonly #listeners = new Set<(status: Status) => void>()
  readonly #onLoss: (failure: Failure) => void
  readonly #onFlow: () => void

  /** `onLoss`: the connection broke. `onFlow`: what was held up can go on. */
  constructor(onLoss: (failure: Failure) => void, onFlow: () => void) {
    this.#onLoss = onLoss
    this.#onFlow = onFlow
  }

  get status(): Status {
    if (!this.#connected) return { state: 'down', failure: lost() }
    if (!this.#blocked) return { state: 'up' }
    const rest = { retryable: true, scope: 'transport' } as const
    return { state: 'blocked', failure: fault('THROTTLED', 'blocked', 'The broker is blocked.', rest) }
  }

  /** Why a message could not be sent now. */
  get trouble(): Failure | undefined {
    const silent = () =>
      fault('UNAVAILABLE', 'no-answer', 'The broker does not answer.', likely('UNAVAILABLE'))
    return this.status.failure ?? (this.#stalled ? silent() : undefined)
  }

  /** Nothing is answered now. */
  get holding(): boolean {
    return this.#blocked || this.#stalled
  }

  observe(listener: (status: Status) => void): () => void {
    this.#listeners.add(listener)
    const { status } = this
    if (status.state !== 'up') listener(status)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#listeners.clear()
  }

  script(message: OutboundMessage): Script | undefined {
    const script = this.#scripts.find(({ when }) => when === undefined || when(message))
    if (script === undefined) return undefined
    script.times--
    if (script.times <= 0) this.#scripts.splice(this.#scripts.indexOf(script), 1)
    return script
  }

  fail(code: ErrorCode, { times = 1, when, stored = false, ...rest }: FailOptions = {}): () => void {
    const failure = { ...fault(code, 'scripted', 'A test asked for it.', likely(code)), ...rest }
    const script = { failure, stored, times, when }
    this.#scripts.push(script)
    return () => {
      const index = this.#scripts.indexOf(script)
      if (index !== -1) this.#scripts.splice(index, 1)
    }
  }

  block(blocked: boolean): void {
    this.#change(() => {
      this.#blocked = blocked
    })
    if (!this.holding) this.#onFlow()
  }

  stall(stalled: boolean): void {
    this.#stalled = stalled
    if (!this.holding) this.#onFlow()
  }

  connect(connected: boolean): void {
    this.#change(() => {
      this.#connected = connected
    })
    if (!connected) this.#onLoss(lost())
  }

  #change(make: () => void): void {
    const before = this.status.state
    make()
    const { status } = this
    if (status.state === before) return
    for (const listener of [...this.#listeners]) {
      try {
        listener(status)
      } catch {
        // The contract leaves it with the listener. The others must hear all the same.
      }
    }
  }
}

const lost = () => fault('UNAVAILABLE', 'disconnected', 'The broker is disconnected.', likely('UNAVAILABLE'))
