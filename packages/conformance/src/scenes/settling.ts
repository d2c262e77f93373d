import type { Delivery, OutboundMessage } from '@notify/core'
import type { Trial } from '../trial.ts'

/** Settles deliveries, and keeps what each call comes to. */
export class Settling {
  /** Whether a call of `ack` or `requeue` is running: what happens now, happens within it. */
  inside = false
  readonly #trial: Trial
  #answers: Promise<boolean>[] = []

  constructor(trial: Trial) {
    this.#trial = trial
  }

  ack(delivery: Delivery): void {
    this.#settle(() => delivery.ack())
  }

  requeue(delivery: Delivery, options?: { readonly delayMs?: number }): void {
    this.#settle(() => (options === undefined ? delivery.requeue() : delivery.requeue(options)))
  }

  /** All calls since the last time resolve with `expected`. */
  async all(expected: boolean, rule: string): Promise<void> {
    const answers = this.#answers
    this.#answers = []
    const { claims, times } = this.#trial
    for (const answer of await this.#trial.ends(() => Promise.all(answers), times.deliverMs, rule)) {
      claims.equal(answer, expected, rule)
    }
  }

  #settle(call: () => Promise<boolean>): void {
    this.inside = true
    const answer = (async () => call())()
    this.inside = false
    // Until somebody asks.
    answer.catch(() => {})
    this.#answers.push(answer)
  }
}

/** What a delivery must have in common with the message that it brings. */
export function sameMessage(trial: Trial, delivery: Delivery, message: OutboundMessage, rule: string): void {
  const { claims } = trial
  claims.bytes(delivery.body, message.body, `${rule}, its body`)
  claims.headers(delivery.headers, message.headers, `${rule}, its headers`)
  claims.equal(delivery.contentType, message.contentType, `${rule}, its content type`)
  claims.equal(delivery.key, message.key, `${rule}, its key`)
  claims.equal(delivery.destination.name, message.destination.name, `${rule}, its destination`)
}

/** The groups by which a destination is consumed in a case: the default one, and one more where there are groups. */
export function groupsOf({ capabilities }: Trial): { readonly group?: string }[] {
  return capabilities.groups ? [{}, { group: 'audit' }] : [{}]
}
