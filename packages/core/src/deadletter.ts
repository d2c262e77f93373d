import { Alarm, type Clock, timestamp } from './clock.ts'
import type { Delivery, Destination, Driver, OutboundMessage, Status } from './driver.ts'
import { type Failure, failure, toFailure } from './errors.ts'
import { Gate } from './gate.ts'
import { deadLetter, sizeOf, type Verdict } from './letter.ts'
import { type Backoff, backoffMs } from './retry.ts'
import { destinationsOf } from './route.ts'

/** How long a driver may take over one attempt. */
const ATTEMPT_MS = 30_000

/** Who wants a dead letter written. */
export interface Sender {
  /** The broker has it. */
  confirmed(): void
  /** It is refused for its shape, with headers and without. Said once; it is tried again all the same. */
  refused(failure: Failure): void
  /** It was not confirmed, and nothing is tried again, since the listener stops. */
  gaveUp(): void
}

/** The dead letters of one source: where they go, and what stands in the way. */
interface Route {
  readonly destination: Destination
  readonly gate: Gate
  calls: number
}

/** One attempt. It has its place in the window until it is settled or times out. */
interface Call {
  readonly letter: Letter
  readonly size: number
  readonly startedAt: number
}

/** One message that is to reach the dead letters, whatever it takes. */
export class Letter {
  readonly route: Route
  readonly sender: Sender
  readonly message: OutboundMessage
  /** Confirmed, or no longer wanted. */
  over = false
  /** With its headers it was refused: it goes without any. */
  bare = false
  refused = false
  failures = 0
  dueAt = 0
  /** The attempt whose failure counts. */
  call: Call | undefined

  constructor(route: Route, sender: Sender, message: OutboundMessage) {
    this.route = route
    this.sender = sender
    this.message = message
  }
}

/**
 * Writes dead letters through the listener's own driver: the same bytes, key, content type and headers, and one
 * header more. Each is published until it is confirmed, since the original is acknowledged only after that. A
 * failure that reaches further than its message shuts a gate, so that an outage costs one attempt at a time.
 */
export class DeadLetters {
  readonly #driver: Driver
  readonly #clock: Clock
  readonly #backoff: Backoff
  readonly #group: string | undefined
  readonly #alarm: Alarm
  readonly #routes = new Map<string, Route>()
  readonly #waiting = new Set<Letter>()
  readonly #calls = new Set<Call>()
  #abort = new AbortController()
  #stopping = false
  #pumping = false
  #again = false
  #blockedSince: number | undefined
  #blockedMs = 0
  #bytes = 0

  constructor(driver: Driver, group: string | undefined, backoff: Backoff, clock: Clock) {
    this.#driver = driver
    this.#group = group
    this.#backoff = backoff
    this.#clock = clock
    this.#alarm = new Alarm(clock, () => this.#wake())
  }

  /** How many are handed to the driver and not settled. */
  get inFlight(): number {
    let inFlight = 0
    for (const call of this.#calls) if (call.letter.call === call && !call.letter.over) inFlight++
    return inFlight
  }

  /** How many are refused for their shape. */
  get refused(): number {
    const letters = new Set(this.#waiting)
    for (const { letter } of this.#calls) letters.add(letter)
    return [...letters].filter(({ refused, over }) => refused && !over).length
  }

  /**
   * Begins to send one.
   *
   * @param id the message's own, which has to be a legal one
   */
  send(delivery: Delivery, source: Destination, id: string, verdict: Verdict, sender: Sender): Letter {
    const route = this.#route(source)
    const origin = { source, group: this.#group, at: timestamp(this.#clock.wall()) }
    const letter = new Letter(route, sender, deadLetter(delivery, id, route.destination, verdict, origin))
    this.#waiting.add(letter)
    this.#pump()
    // While the listener stops there is one attempt or none: nothing would come back to it later.
    if (this.#stopping && this.#waiting.has(letter)) {
      this.drop(letter)
      sender.gaveUp()
    }
    return letter
  }

  /** It is no longer wanted: its original comes back. */
  drop(letter: Letter): void {
    letter.over = true
    this.#waiting.delete(letter)
  }

  /** What the driver says of itself. While it is blocked nothing is handed over, and attempts take no time. */
  observed({ state }: Status): void {
    const now = this.#clock.now()
    if (state === 'blocked') {
      this.#blockedSince ??= now
      return
    }
    if (this.#blockedSince !== undefined) this.#blockedMs += now - this.#blockedSince
    this.#blockedSince = undefined
    if (state === 'up') for (const { gate } of this.#routes.values()) gate.due = Math.min(gate.due, now)
    this.#pump()
  }

  /** Tries nothing again from here on, and gives up what is not in flight. */
  halt(): void {
    this.#stopping = true
    for (const letter of this.#waiting) {
      this.drop(letter)
      letter.sender.gaveUp()
    }
  }

  /** Aborts what is in flight. It may be used again. */
  close(reason: Failure): void {
    for (const call of this.#calls) {
      call.letter.over = true
      this.#leave(call)
    }
    this.#abort.abort(reason)
    this.#abort = new AbortController()
    this.#routes.clear()
    this.#alarm.clear()
    this.#stopping = false
  }

  #route(source: Destination): Route {
    let route = this.#routes.get(source.name)
    if (route === undefined) {
      const destinations = destinationsOf(`${source.topic}.dead`)
      const destination = destinations.find(({ priority }) => priority === source.priority) as Destination
      route = { destination, gate: new Gate(), calls: 0 }
      this.#routes.set(source.name, route)
    }
    return route
  }

  #pump(): void {
    this.#again = true
    if (this.#pumping) return
    this.#pumping = true
    while (this.#again) {
      this.#again = false
      for (const letter of this.#waiting) if (this.#mayGo(letter)) this.#publish(letter)
    }
    this.#pumping = false
    this.#arm()
  }

  #mayGo({ dueAt, message, route }: Letter): boolean {
    const { calls = Number.POSITIVE_INFINITY, messages, bytes } = this.#driver.capabilities.window
    const now = this.#clock.now()
    if (this.#blockedSince !== undefined || now < dueAt) return false
    if (route.gate.shut && !route.gate.ready(now)) return false
    if (route.calls >= calls || this.#calls.size >= messages) return false
    return this.#calls.size === 0 || this.#bytes + message.body.length <= bytes
  }

  #publish(letter: Letter): void {
    const { route } = letter
    const message = { ...letter.message, ...(letter.bare ? { headers: {} } : {}) }
    const size = sizeOf(message)
    const call: Call = { letter, size, startedAt: this.#active() }
    letter.call = call
    this.#waiting.delete(letter)
    this.#calls.add(call)
    route.calls++
    this.#bytes += size
    if (route.gate.shut) route.gate.probe = call
    const settle = (about: OutboundMessage, failed?: Failure) => {
      if (about === message) this.#settled(call, failed === undefined ? undefined : toFailure(failed))
    }
    if (size > this.#driver.capabilities.maxMessageBytes) {
      settle(message, failure('TOO_LARGE'))
      return
    }
    try {
      const handedOver = this.#driver.publish([message], settle, {
        timeoutMs: ATTEMPT_MS,
        signal: this.#abort.signal,
      })
      Promise.resolve(handedOver).catch((error: unknown) => settle(message, toFailure(error)))
    } catch (error) {
      settle(message, toFailure(error))
    }
  }

  #settled(call: Call, failed: Failure | undefined): void {
    const { letter } = call
    this.#leave(call)
    if (failed !== undefined) this.#failed(call, failed)
    else {
      if (letter.route.gate.probe === call) letter.route.gate.open()
      if (!letter.over) {
        this.drop(letter)
        letter.sender.confirmed()
      }
    }
    this.#pump()
  }

  #leave(call: Call): void {
    if (!this.#calls.delete(call)) return
    call.letter.route.calls--
    this.#bytes -= call.size
  }

  /** One outcome of a call is enough: a second one, or one that comes after it timed out, changes nothing. */
  #failed(call: Call, failed: Failure): void {
    const { letter } = call
    if (letter.call !== call) return
    letter.call = undefined
    this.#backOff(call, failed)
    if (letter.over) return
    if (this.#stopping) {
      this.drop(letter)
      letter.sender.gaveUp()
    } else this.#waiting.add(letter)
  }

  #backOff(call: Call, failed: Failure): void {
    const { letter } = call
    const { gate } = letter.route
    const now = this.#clock.now()
    const shape = failed.code === 'TOO_LARGE' || failed.code === 'INVALID' || failed.code === 'UNSUPPORTED'
    if (failed.scope !== 'message' && !shape) {
      if (gate.probe === call) gate.stay(failed, this.#backoff, this.#clock)
      else gate.close(failed, this.#backoff, this.#clock)
      return
    }
    if (gate.probe === call) gate.open()
    if (!shape)
      letter.dueAt = now + backoffMs(++letter.failures, this.#backoff, this.#clock, failed.retryAfterMs)
    else if (!letter.bare) letter.bare = true
    else {
      letter.dueAt = now + this.#backoff.maxMs
      if (!letter.refused && !letter.over) letter.sender.refused(failed)
      letter.refused = true
    }
  }

  #wake(): void {
    if (this.#blockedSince === undefined) {
      const active = this.#active()
      for (const call of this.#calls) if (call.startedAt + ATTEMPT_MS <= active) this.#timeOut(call)
    }
    this.#pump()
  }

  /** It has failed and leaves the window, and yet a success that comes later counts. */
  #timeOut(call: Call): void {
    this.#leave(call)
    const silence = failure('UNAVAILABLE', 'attempt-timeout')
    this.#failed(call, { ...silence, retryable: true, maybeSent: true, scope: 'destination' })
  }

  #arm(): void {
    if (this.#blockedSince !== undefined) return
    const now = this.#clock.now()
    for (const { dueAt, route } of this.#waiting) {
      const { gate } = route
      if (gate.shut && gate.probe !== undefined) continue
      const at = Math.max(dueAt, gate.shut ? gate.due : 0)
      if (at > now) this.#alarm.by(at)
    }
    for (const { startedAt } of this.#calls) this.#alarm.by(now + startedAt + ATTEMPT_MS - this.#active())
    if (this.#waiting.size + this.#calls.size === 0) this.#alarm.clear()
  }

  /** The clock of attempts, which stands still while the broker asks for silence. */
  #active(): number {
    return (this.#blockedSince ?? this.#clock.now()) - this.#blockedMs
  }
}
