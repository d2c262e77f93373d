import { Alarm, type Clock } from './clock.ts'
import { byteLength } from './codec.ts'
import type { Delivery, Destination, Driver, OutboundMessage, Status } from './driver.ts'
import { checkHeader, checkKey } from './envelope.ts'
import { type ErrorCode, type Failure, failure, toFailure } from './errors.ts'
import { Gate } from './gate.ts'
import { type Backoff, backoffMs } from './retry.ts'
import { destinationsOf } from './route.ts'

/** How long a driver may take over one attempt. */
const ATTEMPT_MS = 30_000

/** What the header `notify-dead` of a dead letter holds, as JSON in ASCII. */
export interface DeadLetterNote {
  readonly code: ErrorCode
  readonly reason?: string
  /** Runs of the handler that failed, the largest number where several did. 0: none was run. */
  readonly attempts: number
  /** Absent: the default group. */
  readonly group?: string
  /** The destination that it was received from, such as `notifications.info`. */
  readonly from: string
  /** When it was given up: UTC, ISO 8601. */
  readonly at: string
  /** The handlers that failed for good, by their place among the listener's entries. */
  readonly handlers?: readonly {
    readonly index: number
    readonly event_type?: string
    readonly code: ErrorCode
    readonly reason?: string
    readonly attempts: number
  }[]
  /** Headers of the original that could not be sent on, at most 20 of them. */
  readonly omitted_headers?: readonly string[]
}

/** Why a message is given up. */
export type Verdict = Pick<DeadLetterNote, 'code' | 'reason' | 'attempts' | 'handlers'>

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

/** One attempt. It takes part in the window until it is settled or times out. */
interface Call {
  readonly route: Route
  readonly size: number
  readonly startedAt: number
  open: boolean
}

/** One message that is to reach the dead letters, whatever it takes. */
export class Letter {
  readonly id: string
  readonly route: Route
  readonly sender: Sender
  readonly message: OutboundMessage
  /** Its headers were refused, or may have been: it goes without any. */
  bare = false
  refused = false
  failures = 0
  dueAt = 0
  call: Call | undefined

  constructor(route: Route, sender: Sender, message: OutboundMessage) {
    this.id = message.id
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
  readonly #flying = new Set<Letter>()
  readonly #window = { messages: 0, bytes: 0 }
  #abort = new AbortController()
  #stopping = false
  #pumping = false
  #blockedSince: number | undefined
  #blockedMs = 0

  constructor(driver: Driver, group: string | undefined, backoff: Backoff, clock: Clock) {
    this.#driver = driver
    this.#group = group
    this.#backoff = backoff
    this.#clock = clock
    this.#alarm = new Alarm(clock, () => this.#wake())
  }

  /** How many are handed to the driver and not settled. */
  get inFlight(): number {
    return this.#flying.size
  }

  /** How many are refused for their shape, and wait. */
  get refused(): number {
    let refused = 0
    for (const letters of [this.#waiting, this.#flying]) for (const letter of letters) if (letter.refused) refused++
    return refused
  }

  /**
   * Begins to send one.
   *
   * @param id the message's own, which has to be a legal one
   */
  send(delivery: Delivery, source: Destination, id: string, verdict: Verdict, sender: Sender): Letter {
    const route = this.#route(source)
    const { headers, omitted } = legalHeaders(delivery.headers)
    const group = this.#group
    const note: DeadLetterNote = {
      ...verdict,
      ...(group === undefined ? {} : { group }),
      from: source.name,
      at: new Date(this.#clock.wall()).toISOString(),
      ...(omitted.length === 0 ? {} : { omitted_headers: omitted.slice(0, 20) }),
    }
    const { contentType, key } = delivery
    const letter = new Letter(route, sender, {
      id,
      dedupId: `${id}/${source.name}/dead/${group ?? ''}`,
      destination: route.destination,
      body: delivery.body,
      contentType: checkHeader('content-type', contentType) ? 'application/octet-stream' : (contentType as string),
      headers: { ...headers, 'notify-dead': ascii(note) },
      ...(checkKey(key) ? {} : { key: key as string }),
    })
    this.#waiting.add(letter)
    this.#pump()
    return letter
  }

  /** It is no longer wanted: its original comes back. */
  drop(letter: Letter): void {
    this.#waiting.delete(letter)
    this.#flying.delete(letter)
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
      this.#waiting.delete(letter)
      letter.sender.gaveUp()
    }
  }

  /** Aborts what is in flight. */
  close(reason: Failure): void {
    this.#flying.clear()
    this.#abort.abort(reason)
    this.#alarm.clear()
  }

  /** Begins anew after {@link close}. */
  reopen(): void {
    this.#stopping = false
    this.#abort = new AbortController()
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
    if (this.#pumping) return
    this.#pumping = true
    // A letter that a driver fails at once stands at the end of the set, and is met again here: not yet due.
    for (const letter of this.#waiting) {
      if (this.#mayGo(letter)) this.#publish(letter)
    }
    this.#pumping = false
    this.#arm()
  }

  #mayGo({ dueAt, message, route }: Letter): boolean {
    const { window } = this.#driver.capabilities
    const now = this.#clock.now()
    return (
      this.#blockedSince === undefined &&
      dueAt <= now &&
      (!route.gate.shut || route.gate.ready(now)) &&
      route.calls < (window.calls ?? Number.POSITIVE_INFINITY) &&
      this.#window.messages < window.messages &&
      (this.#window.messages === 0 || this.#window.bytes + message.body.length <= window.bytes)
    )
  }

  #publish(letter: Letter): void {
    const { route } = letter
    const message = letter.bare ? { ...letter.message, headers: {} } : { ...letter.message }
    const size = sizeOf(message)
    const call: Call = { route, size, startedAt: this.#active(), open: true }
    letter.call = call
    this.#waiting.delete(letter)
    this.#flying.add(letter)
    route.calls++
    this.#window.messages++
    this.#window.bytes += size
    if (route.gate.shut) route.gate.probe = call
    const settle = (about: OutboundMessage, failed?: Failure) => {
      if (about === message) this.#settled(letter, call, failed === undefined ? undefined : toFailure(failed))
    }
    const { maxMessageBytes } = this.#driver.capabilities
    if (size > maxMessageBytes) return settle(message, failure('TOO_LARGE'))
    try {
      const options = { timeoutMs: ATTEMPT_MS, signal: this.#abort.signal }
      const handedOver = this.#driver.publish([message], settle, options)
      Promise.resolve(handedOver).catch((error: unknown) => settle(message, toFailure(error)))
    } catch (error) {
      settle(message, toFailure(error))
    }
  }

  #settled(letter: Letter, call: Call, failed: Failure | undefined): void {
    this.#leave(call)
    const { gate } = call.route
    const wanted = this.#flying.has(letter) || this.#waiting.has(letter)
    if (failed === undefined) {
      if (gate.probe === call) gate.open()
      if (wanted) {
        this.drop(letter)
        letter.sender.confirmed()
      }
    } else if (letter.call === call) {
      letter.call = undefined
      this.#failed(letter, call, failed)
      if (wanted) this.#tryLater(letter)
    }
    this.#pump()
  }

  #leave(call: Call): void {
    if (!call.open) return
    call.open = false
    call.route.calls--
    this.#window.messages--
    this.#window.bytes -= call.size
  }

  #failed(letter: Letter, call: Call, failed: Failure): void {
    const { gate } = call.route
    const now = this.#clock.now()
    const shape = failed.code === 'TOO_LARGE' || failed.code === 'INVALID' || failed.code === 'UNSUPPORTED'
    if (failed.scope !== 'message' && !shape) {
      if (gate.probe === call) gate.stay(failed, this.#backoff, this.#clock)
      else gate.close(failed, this.#backoff, this.#clock)
      letter.dueAt = now
      return
    }
    if (gate.probe === call) gate.open()
    if (!shape) letter.dueAt = now + backoffMs(++letter.failures, this.#backoff, this.#clock, failed.retryAfterMs)
    else if (!letter.bare) letter.bare = true
    else {
      letter.dueAt = now + this.#backoff.maxMs
      if (letter.refused) return
      letter.refused = true
      if (this.#flying.has(letter)) letter.sender.refused(failed)
    }
  }

  #tryLater(letter: Letter): void {
    if (!this.#flying.delete(letter)) return
    if (this.#stopping) letter.sender.gaveUp()
    else this.#waiting.add(letter)
  }

  #wake(): void {
    const active = this.#active()
    if (this.#blockedSince === undefined) {
      for (const letter of this.#flying) {
        const { call } = letter
        if (call !== undefined && call.startedAt + ATTEMPT_MS <= active) this.#timeOut(letter, call)
      }
    }
    this.#pump()
  }

  /** It has failed, and yet a success that comes later counts. */
  #timeOut(letter: Letter, call: Call): void {
    const silence = { ...failure('UNAVAILABLE', 'attempt-timeout'), retryable: true, maybeSent: true } as const
    this.#leave(call)
    letter.call = undefined
    this.#failed(letter, call, { ...silence, scope: 'destination' })
    this.#tryLater(letter)
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
    for (const { call } of this.#flying) {
      if (call !== undefined) this.#alarm.by(now + call.startedAt + ATTEMPT_MS - this.#active())
    }
    if (this.#waiting.size + this.#flying.size === 0) this.#alarm.clear()
  }

  /** The clock of attempts, which stands still while the broker asks for silence. */
  #active(): number {
    return (this.#blockedSince ?? this.#clock.now()) - this.#blockedMs
  }
}
