import { type Alarm, NEVER } from '../clock.ts'
import type { Delivery, Driver } from '../driver.ts'
import { checkMessageId } from '../envelope.ts'
import { type Failure, failure, toFailure } from '../errors.ts'
import type { DeadLetters } from './deadletter.ts'
import type { Held, Outcomes } from './held.ts'
import type { Verdict } from './letter.ts'

/** What a listener settles about its settlements when it is made. */
export interface SettlementOptions {
  readonly driver: Driver
  /** Absent: what is given up is dropped. */
  readonly deadLetters: DeadLetters | undefined
  /** Hears of each message that was given up, and of each that could not be. */
  readonly tell: (failure: Failure) => void
}

/**
 * Holds every delivery that is not settled, settles it, and counts what became of it. A delivery is in `held`
 * or among the counts, never both, never neither: that is the law, at any instant.
 */
export class Settlement {
  readonly #options: SettlementOptions
  readonly #alarm: Alarm
  readonly #changed: () => void
  readonly #counts = { received: 0, acked: 0, dead: 0, dropped: 0, unmatched: 0, requeued: 0, lost: 0 }
  /** How many are on their way to the broker. */
  settling = 0
  /** The oldest first. */
  readonly held: Map<Delivery, Held> = new Map()

  /** @param changed hears whenever there is one delivery less to wait for. */
  constructor(options: SettlementOptions, alarm: Alarm, changed: () => void) {
    this.#options = options
    this.#alarm = alarm
    this.#changed = changed
  }

  stats(): Outcomes & { readonly received: number; readonly pending: number } {
    return { ...this.#counts, pending: this.held.size }
  }

  add(held: Held): void {
    this.#counts.received++
    this.held.set(held.delivery, held)
  }

  /** The one place where a delivery ends. */
  end(held: Held, outcome: keyof Outcomes): void {
    if (held.over) return
    held.over = true
    if (held.phase === 'settling') this.settling--
    this.held.delete(held.delivery)
    this.#counts[outcome]++
    this.#drop(held)
    if ((outcome === 'dead' || outcome === 'dropped') && held.failure !== undefined)
      this.#options.tell(held.failure)
    this.#changed()
  }

  ack(held: Held, outcome: 'acked' | 'unmatched' | 'dead' | 'dropped'): void {
    void this.#settle(held, outcome)
  }

  /** Gives it back, or, where the transport cannot take it, leaves it until its subscription closes. */
  giveBack(held: Held): void {
    this.#drop(held)
    const leave = () => this.leave(held)
    if (this.#options.driver.capabilities.requeue) void this.#settle(held, 'requeued', undefined, leave)
    else leave()
  }

  /** Leaves it unsettled until its subscription closes. */
  leave(held: Held): void {
    held.phase = 'left'
    held.dueAt = NEVER
    this.#changed()
  }

  /** Gives it back because its handler asked for it. Does `otherwise` where that cannot be had. */
  giveBackAfter(held: Held, delayMs: number, otherwise: () => void): void {
    const { requeue, delay } = this.#options.driver.capabilities
    if (!requeue || (delayMs > 0 && (delay === false || delayMs > delay.maxMs))) otherwise()
    else void this.#settle(held, 'requeued', delayMs > 0 ? { delayMs } : undefined, otherwise)
  }

  /** Before the transport does so, and maybe closes the channel over it. */
  giveBackInTime(held: Held): void {
    this.giveBack(held)
    this.#options.tell(
      failure(
        'DEADLINE',
        'hold',
        `A message of ${held.session.destination.name} was given back, since the transport holds it no longer.`,
      ),
    )
  }

  /** Sends it to the dead letters, and acknowledges it only when they have it. */
  bury(held: Held, verdict: Verdict, because: Failure): void {
    const { deadLetters, tell } = this.#options
    const { destination } = held.session
    const { messageId } = held
    const id =
      checkMessageId(messageId) === undefined ? (messageId as string) : globalThis.crypto.randomUUID()
    held.failure = because
    if (deadLetters === undefined) {
      this.ack(held, 'dropped')
      return
    }
    held.phase = 'dead'
    held.dueAt = held.giveBackAt
    this.#alarm.by(held.dueAt)
    held.letter = deadLetters.send(held.delivery, destination, id, verdict, {
      confirmed: () => this.ack(held, 'dead'),
      refused: (refusal) =>
        tell({
          ...refusal,
          message: `A dead letter of ${destination.name} is refused. It is kept, and tried again.`,
        }),
      gaveUp: () => this.giveBack(held),
    })
  }

  /** A driver may throw, reject, or answer something else than a boolean. */
  async #settle(
    held: Held,
    outcome: keyof Outcomes,
    options?: { delayMs: number },
    otherwise?: () => void,
  ): Promise<void> {
    held.phase = 'settling'
    held.dueAt = NEVER
    this.settling++
    let taken: unknown
    try {
      taken = await (outcome === 'requeued' ? held.delivery.requeue(options) : held.delivery.ack())
    } catch (error) {
      if (otherwise !== undefined && !held.over && toFailure(error).code === 'UNSUPPORTED') {
        this.settling--
        otherwise()
        return
      }
    }
    this.end(held, taken === true ? outcome : 'lost')
  }

  #drop(held: Held): void {
    if (held.letter !== undefined) this.#options.deadLetters?.drop(held.letter)
    held.letter = undefined
  }
}
