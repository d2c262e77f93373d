import type { Failure, OutboundMessage } from '@notify/core'
import type { Outcome } from './claims.ts'

/** One call of `publish`, and what became of each of its messages. */
export class Call {
  readonly batch: readonly OutboundMessage[]
  /** Ends the call: its signal fires with this failure. */
  readonly abort: (reason: Failure) => void
  /** Resolves when all are settled. */
  readonly settled: Promise<void>
  readonly #outcomes = new Map<OutboundMessage, Outcome>()
  readonly #members: ReadonlySet<OutboundMessage>
  readonly #again: string[] = []
  #strangers = 0
  readonly #done: () => void

  constructor(batch: readonly OutboundMessage[], abort: (reason: Failure) => void) {
    this.batch = batch
    this.#members = new Set(batch)
    this.abort = abort
    const { promise, resolve } = Promise.withResolvers<void>()
    this.settled = promise
    this.#done = resolve
    if (batch.length === 0) resolve()
  }

  /** Takes what the driver says. */
  settle(message: OutboundMessage, failure: Failure | undefined): void {
    if (!this.#members.has(message)) {
      this.#strangers++
      return
    }
    if (this.#outcomes.has(message)) {
      this.#again.push(message.id)
      return
    }
    this.#outcomes.set(message, failure ?? 'confirmed')
    if (this.#outcomes.size === this.batch.length) this.#done()
  }

  /** Of the message itself, or of the nth one. */
  outcome(message: OutboundMessage | number): Outcome | undefined {
    const which = typeof message === 'number' ? this.batch[message] : message
    return which === undefined ? undefined : this.#outcomes.get(which)
  }

  /** In the order of the batch. */
  get outcomes(): readonly (Outcome | undefined)[] {
    return this.batch.map((message) => this.#outcomes.get(message))
  }

  get confirmed(): OutboundMessage[] {
    return this.batch.filter((message) => this.#outcomes.get(message) === 'confirmed')
  }

  get failed(): OutboundMessage[] {
    return this.batch.filter((message) => {
      const outcome = this.#outcomes.get(message)
      return outcome !== undefined && outcome !== 'confirmed'
    })
  }

  /** Not settled yet. */
  get open(): OutboundMessage[] {
    return this.batch.filter((message) => !this.#outcomes.has(message))
  }

  /** The ids of what was settled a second time, once for each time. */
  get settledAgain(): readonly string[] {
    return this.#again
  }

  /** How often something was settled that is not of this call. */
  get strangers(): number {
    return this.#strangers
  }
}

export function idsOf(messages: readonly OutboundMessage[]): string[] {
  return messages.map(({ id }) => id)
}
