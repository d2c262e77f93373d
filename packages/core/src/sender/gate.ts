import type { Clock } from '../clock.ts'
import type { Failure } from '../errors.ts'
import type { StatusTeller } from '../observe.ts'
import { type Backoff, backoffMs, PROBE_MAX_MS } from '../retry.ts'
import type { Call } from './call.ts'
import type { Lane } from './lane.ts'

/**
 * Stands before a driver, and before each of its destinations. Open, it lets everything pass. A failure that
 * reaches further than its message shuts it; then one real message at a time is let through to find out, and
 * only what becomes of that one opens it again. An outage so costs one attempt at a time, however much waits.
 */
export class Gate {
  /** Why it is shut. */
  failure: Failure | undefined
  /** When the next probe may go, in the clock's milliseconds. */
  due = 0
  /** The call that is finding out. */
  probe: object | undefined
  #failures = 0
  #hurriedAt = Number.NEGATIVE_INFINITY

  get shut(): boolean {
    return this.failure !== undefined
  }

  /** Shut, with no probe on its way, and it is time for one. */
  ready(now: number): boolean {
    return this.probe === undefined && now >= this.due
  }

  /** Shuts it. While shut, only a probe's own failure says when the next one may go. */
  close(failure: Failure, backoff: Backoff, clock: Clock): void {
    if (this.shut) {
      // An old failure that arrives late says nothing new, unless it is one that waiting cannot cure.
      if (!failure.retryable) this.failure = failure
      return
    }
    this.#wait(failure, backoff, clock)
  }

  /** The probe failed as widely as the gate reaches. */
  stay(failure: Failure, backoff: Backoff, clock: Clock): void {
    this.probe = undefined
    this.#wait(failure, backoff, clock)
  }

  /** There is reason to believe that it is over. A driver that says so again and again is not probed as often. */
  hurry(now: number, { minMs }: Backoff): void {
    const at = Math.max(now, this.#hurriedAt + minMs)
    if (at >= this.due) return
    this.due = at
    this.#hurriedAt = at
  }

  /** The probe ended without saying anything about this gate. */
  retry(now: number): void {
    this.probe = undefined
    this.due = now
  }

  open(): void {
    this.failure = undefined
    this.probe = undefined
    this.#failures = 0
  }

  #wait(failure: Failure, { minMs, maxMs }: Backoff, clock: Clock): void {
    this.#failures++
    this.failure = failure
    const backoff = { minMs, maxMs: Math.min(maxMs, PROBE_MAX_MS) }
    this.due = clock.now() + backoffMs(this.#failures, backoff, clock, failure.retryAfterMs)
  }
}

/** The gate of a transport and those of its destinations, told of each outcome. */
export class Gates {
  readonly transport: Gate = new Gate()
  readonly #backoff: Backoff
  readonly #clock: Clock
  readonly #teller: StatusTeller

  constructor(backoff: Backoff, clock: Clock, teller: StatusTeller) {
    this.#backoff = backoff
    this.#clock = clock
    this.#teller = teller
  }

  /** What waiting cannot cure fails everything behind it at once, until it is time to look again. */
  refusal(lane: Lane): Failure | undefined {
    return this.#refusalOf(this.transport) ?? this.#refusalOf(lane.gate)
  }

  #refusalOf({ failure, due }: Gate): Failure | undefined {
    if (failure === undefined || failure.retryable || this.#clock.now() >= due) return undefined
    return { ...failure, maybeSent: false }
  }

  /** One message of a call has its outcome. Only what was sent as a probe speaks about a gate that is shut. */
  heard(call: Call, verdict: Failure | undefined): void {
    for (const gate of call.gates) {
      if (gate.probe !== call) continue
      const wide = gate === this.transport
      const same = verdict?.scope === (wide ? 'transport' : 'destination')
      if (verdict !== undefined && (same || verdict.reason === 'attempt-timeout')) {
        gate.stay(verdict, this.#backoff, this.#clock)
      } else if (verdict?.scope === 'transport') gate.retry(this.#clock.now())
      else {
        gate.open()
        this.#teller.tell({ state: 'up' }, wide ? undefined : call.lane.destination)
      }
    }
  }

  /** A failure reaches further than its message. */
  shut(lane: Lane, verdict: Failure): void {
    const wide = verdict.scope === 'transport'
    ;(wide ? this.transport : lane.gate).close(verdict, this.#backoff, this.#clock)
    this.#teller.tell({ state: 'down', failure: verdict }, wide ? undefined : lane.destination)
  }

  /** The driver says that it is up: no reason to wait any longer. */
  lookNow(lanes: readonly Lane[]): void {
    const now = this.#clock.now()
    for (const gate of [this.transport, ...lanes.map((lane) => lane.gate)]) gate.hurry(now, this.#backoff)
  }

  /** What an operator should know of, in sentences. */
  warnings(lanes: readonly Lane[]): string[] {
    const all = [
      { gate: this.transport, name: 'the broker' },
      ...lanes.map(({ gate, destination }) => ({ gate, name: destination.name })),
    ]
    return all.flatMap(({ gate: { failure }, name }) =>
      failure === undefined
        ? []
        : [`${name} takes no messages: ${failure.code} ${failure.message ?? failure.reason ?? ''}`.trimEnd()],
    )
  }
}
