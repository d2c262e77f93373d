import type { Alarm } from './clock.ts'
import type { DeadLetters } from './deadletter.ts'
import type { Capabilities, Delivery, Driver } from './driver.ts'
import { type Failure, failure, toFailure } from './errors.ts'
import type { Held, Outcomes } from './held.ts'
import type { Verdict } from './letter.ts'

/** What a listener settles about its settlements when it is made. */
export interface SettlementOptions {
  readonly driver: Driver
  /** Absent: what is given up is dropped. */
  readonly deadLetters: DeadLetters | undefined
  /** Hears of each message that was given up, and of each that could not be. */
  readonly tell: (failure: Failure) => void
  /** Hears whenever one delivery less is being settled. */
  readonly changed: () => void
}

/**
 * Holds every delivery that is not settled, settles it, and counts what became of it. A delivery is in `held`
 * or among the counts, never both, never neither: that is the law, at any instant.
 */
export class Settlement {
  readonly #options: SettlementOptions
  readonly #capabilities: Capabilities
  readonly #alarm: Alarm
  readonly #held = new Map<Delivery, Held>()
  readonly #counts = { received: 0, acked: 0, dead: 0, dropped: 0, unmatched: 0, requeued: 0, lost: 0 }

  constructor(options: SettlementOptions, alarm: Alarm) {
    this.#options = options
    this.#capabilities = options.driver.capabilities
    this.#alarm = alarm
  }

  stats(): Outcomes & { readonly received: number; readonly pending: number } {
    return { ...this.#counts, pending: this.#held.size }
  }

  /** Each delivery that is not settled, the oldest first. */
  get held(): Iterable<Held> {
    return this.#held.values()
  }

  has(delivery: Delivery): boolean {
    return this.#held.has(delivery)
  }

  add(held: Held): void {
    this.#counts.received++
    this.#held.set(held.delivery, held)
  }

  /** Whether the broker's answer, to a settlement or a dead letter, is awaited for any of them. */
  get busy(): boolean {
    for (const { phase } of this.#held.values()) if (phase === 'settling' || phase === 'dead') return true
    return false
  }

  /** The one place where a delivery ends. */
  end(held: Held, outcome: keyof Outcomes): void {
    if (held.over) return
    held.over = true
    this.#held.delete(held.delivery)
    this.#counts[outcome]++
    this.#dropLetter(held)
    if ((outcome === 'dead' || outcome === 'dropped') && held.failure !== undefined)
      this.#options.tell(held.failure)
    this.#options.changed()
  }

  ack(held: Held, outcome: 'acked' | 'unmatched' | 'dead' | 'dropped'): void {
    held.phase = 'settling'
    held.dueAt = Number.POSITIVE_INFINITY
    answer(
      () => held.delivery.ack(),
      (taken) => this.end(held, taken ? outcome : 'lost'),
    )
  }

  /** Gives it back, or, where the transport cannot take it, leaves it until the subscription closes. */
  giveBack(held: Held): void {
    this.#dropLetter(held)
    if (this.#capabilities.requeue) this.#requeue(held, undefined, () => this.leave(held))
    else this.leave(held)
  }

  /** Leaves it unsettled until its subscription closes. */
  leave(held: Held): void {
    held.phase = 'left'
    held.dueAt = Number.POSITIVE_INFINITY
    this.#options.changed()
  }

  /** Gives it back because its handler asked for it. Does `otherwise` where that cannot be had. */
  giveBackAfter(held: Held, delayMs: number | undefined, otherwise: () => void): void {
    const { requeue, delay } = this.#capabilities
    const waits = delayMs === undefined || delayMs === 0 || (delay !== false && delayMs <= delay.maxMs)
    if (requeue && waits) this.#requeue(held, delayMs === 0 ? undefined : delayMs, otherwise)
    else otherwise()
  }

  /** Sends it to the dead letters, and acknowledges it only when they have it. */
  bury(held: Held, id: string, verdict: Verdict, because: Failure): void {
    const { deadLetters, tell } = this.#options
    const { destination } = held.session
    held.failure = because
    if (deadLetters === undefined) {
      this.ack(held, 'dropped')
      return
    }
    held.phase = 'dead'
    held.dueAt = held.giveBackAt
    this.#alarm.by(held.dueAt)
    const letter = deadLetters.send(held.delivery, destination, id, verdict, {
      confirmed: () => this.ack(held, 'dead'),
      refused: (refusal) =>
        tell({
          ...refusal,
          message: `A dead letter of ${destination.name} is refused, with headers and without. It is kept, and tried again.`,
        }),
      gaveUp: () => this.giveBack(held),
    })
    held.letter = letter
  }

  /** Before the transport does so, and maybe closes the channel over it. */
  giveBackInTime(held: Held): void {
    const { name } = held.session.destination
    this.giveBack(held)
    const message = `A message of ${name} could not be settled for nearly as long as the transport holds it, and was given back.`
    this.#options.tell(failure('DEADLINE', 'hold', message))
  }

  #requeue(held: Held, delayMs: number | undefined, otherwise: () => void): void {
    held.phase = 'settling'
    held.dueAt = Number.POSITIVE_INFINITY
    answer(
      () => held.delivery.requeue(delayMs === undefined ? undefined : { delayMs }),
      (taken, because) => {
        if (because?.code !== 'UNSUPPORTED') this.end(held, taken ? 'requeued' : 'lost')
        else if (!held.over) otherwise()
      },
    )
  }

  #dropLetter(held: Held): void {
    if (held.letter !== undefined) this.#options.deadLetters?.drop(held.letter)
    held.letter = undefined
  }
}

/** Calls a driver that may throw, reject, or answer something else than a boolean. */
function answer(call: () => Promise<boolean>, then: (taken: boolean, because?: Failure) => void): void {
  let answered: unknown
  try {
    answered = call()
  } catch (error) {
    then(false, toFailure(error))
    return
  }
  Promise.resolve(answered).then(
    (taken) => then(taken === true),
    (error: unknown) => then(false, toFailure(error)),
  )
}
