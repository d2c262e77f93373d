import { Buffer, type BufferLimits, type Encoded, Item } from './buffer.ts'
import { Call } from './call.ts'
import { Alarm, type Clock } from './clock.ts'
import type { CallOptions, Capabilities, Destination, Driver, OutboundMessage, Status } from './driver.ts'
import type { Emit } from './emission.ts'
import { PRIORITIES } from './envelope.ts'
import { type Failure, failure, toFailure } from './errors.ts'
import { Gate } from './gate.ts'
import { Lane, move } from './lane.ts'
import type { StatusTeller } from './observe.ts'
import { type Backoff, backoffMs } from './retry.ts'
import { Window } from './window.ts'

/** What a notifier settles about a sender when it is made. */
export interface SenderOptions {
  readonly buffer: BufferLimits
  readonly attemptTimeoutMs: number
  /** Retries after the first attempt; -1: until the emit's deadline. */
  readonly retry: number
  readonly backoff: Backoff
}

/** One driver's figures, in messages. `emitted = confirmed + failed + shed + pending` at any instant. */
export interface DriverStats {
  readonly driver: string
  readonly emitted: number
  readonly confirmed: number
  readonly failed: number
  readonly shed: number
  readonly pending: number
  /** Of those pending: handed to the driver. */
  readonly inFlight: number
  /** Answers that came after their message had ended. */
  readonly late: number
}

/** Between a notifier and one driver: what waits, what is in flight, and what becomes of each message. */
export class Sender {
  readonly driver: Driver
  readonly #capabilities: Capabilities
  readonly #clock: Clock
  readonly #options: SenderOptions
  readonly #teller: StatusTeller
  readonly #buffer: Buffer
  readonly #window: Window
  readonly #gate = new Gate()
  /** The most important first. */
  readonly #lanes: Lane[] = []
  readonly #named = new Map<string, Lane>()
  readonly #counts = { emitted: 0, confirmed: 0, failed: 0, shed: 0, late: 0 }
  readonly #alarm: Alarm
  readonly #abort = new AbortController()
  readonly #callOptions: CallOptions
  readonly #unobserve: (() => void) | undefined
  #sequence = 0
  #turn = 0
  #blockedSince: number | undefined
  #blockedMs = 0
  #pumping = false
  #scheduled = false
  #stopped: Failure | undefined

  constructor(driver: Driver, options: SenderOptions, teller: StatusTeller, clock: Clock) {
    this.driver = driver
    this.#capabilities = driver.capabilities
    this.#clock = clock
    this.#options = options
    this.#teller = teller
    this.#buffer = new Buffer(options.buffer)
    this.#window = new Window(driver.capabilities)
    this.#alarm = new Alarm(clock, () => this.#wake())
    this.#callOptions = { timeoutMs: options.attemptTimeoutMs, signal: this.#abort.signal }
    this.#unobserve = driver.observe?.((status) => this.#observed(status))
  }

  /** What can be said against an emit before it is encoded. */
  refusal(destination: Destination): Failure | undefined {
    const verdict = this.#verdict(this.#lane(destination), 1)
    return 'code' in verdict ? verdict : undefined
  }

  /** Takes one message, or ends it at once; in either case it is counted, and its emit knows of it. */
  admit(emit: Emit, destination: Destination, decides: boolean, encoded: Encoded | Failure): void {
    this.#counts.emitted++
    const lane = this.#lane(destination)
    const message = 'body' in encoded ? encoded : UNSENT
    const item = new Item(emit, lane, this, decides, message, this.#sequence++)
    emit.add(item)
    const verdict = 'body' in encoded ? this.#verdict(lane, message.size) : encoded
    if ('code' in verdict) {
      this.#conclude(item, 'failed', verdict)
      return
    }
    for (const other of verdict) this.#end(other, 'shed', failure('SHED'))
    this.#buffer.take(item)
    lane.add(item)
    this.#schedule()
  }

  /** Ends what the program no longer waits for: its deadline passed, or its signal fired. */
  drop(item: Item, because: Failure): void {
    if (item.status !== 'pending') return
    const last = item.last ?? item.lane.gate.failure ?? this.#gate.failure
    const message = last === undefined ? because.message : `${because.message} The latest trouble was ${last.code}: ${last.message ?? last.reason ?? ''}`
    this.#end(item, 'failed', { ...because, ...(message === undefined ? {} : { message: message.trimEnd() }) })
    this.#rest()
  }

  stats(): DriverStats {
    let pending = 0
    let inFlight = 0
    for (const lane of this.#lanes) {
      pending += lane.pending
      inFlight += lane.flying.size
    }
    return { driver: this.driver.name, ...this.#counts, pending, inFlight }
  }

  /** What an operator should know of, in sentences. */
  warnings(): string[] {
    const warnings: string[] = []
    for (const { gate, name } of [{ gate: this.#gate, name: 'the broker' }, ...this.#lanes.map(({ gate, destination }) => ({ gate, name: destination.name }))]) {
      const { failure } = gate
      if (failure !== undefined) warnings.push(`${name} takes no messages: ${failure.code} ${failure.message ?? failure.reason ?? ''}`.trimEnd())
    }
    if (this.#blockedSince !== undefined) warnings.push('the broker asked for silence: nothing is sent until it takes that back')
    const { messages, limits } = this.#buffer
    if (messages > limits.messages / 2) warnings.push(`the buffer holds ${messages} of ${limits.messages} messages`)
    return warnings
  }

  /** Ends what waits, and asks the driver to let go of what is in flight. What it answers still counts. */
  stop(because: Failure): void {
    if (this.#stopped !== undefined) return
    this.#stopped = because
    this.#alarm.clear()
    for (const lane of this.#lanes) this.#endAll(lane, because)
    this.#abort.abort(because)
  }

  /** Ends what the driver did not let go of. Nothing is heard of it afterwards. */
  finish(because: Failure): void {
    this.stop(because)
    for (const { flying } of this.#lanes) {
      while (flying.head !== undefined) this.#end(flying.head, 'failed', because)
    }
    try {
      this.#unobserve?.()
    } catch {
      // This side is done with it either way.
    }
  }

  #lane(destination: Destination): Lane {
    const known = this.#named.get(destination.name)
    if (known !== undefined) return known
    if (this.#lanes.length > 500) this.#prune()
    const level = PRIORITIES.indexOf(destination.priority)
    const lane = new Lane(destination, level, this.#capabilities.ordering === 'key' ? this.#capabilities.maxBatch : 1)
    const place = this.#lanes.findIndex((other) => other.level < level)
    this.#lanes.splice(place < 0 ? this.#lanes.length : place, 0, lane)
    this.#named.set(destination.name, lane)
    return lane
  }

  #verdict(lane: Lane, size: number): Failure | readonly Item[] {
    if (this.#stopped !== undefined) return this.#stopped
    for (const { failure: shut, due } of [this.#gate, lane.gate]) {
      // What waiting cannot cure fails everything at once, until it is time to look again.
      if (shut !== undefined && !shut.retryable && this.#clock.now() < due) return { ...shut, maybeSent: false }
    }
    const { maxMessageBytes } = this.#capabilities
    if (size > maxMessageBytes) {
      return failure('TOO_LARGE', undefined, `The message has ${size} bytes, and ${this.driver.name} takes ${maxMessageBytes}.`)
    }
    return this.#buffer.admit(lane, size, this.#lanes)
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped !== undefined) return
    this.#scheduled = true
    if (!this.#pumping) queueMicrotask(() => this.#pump())
  }

  /** Hands over whatever may go now. Iterative: a driver that settles at once only makes it go round again. */
  #pump(): void {
    this.#pumping = true
    while (this.#scheduled && this.#stopped === undefined && this.#blockedSince === undefined) {
      this.#scheduled = false
      const now = this.#clock.now()
      for (const lane of this.#lanes) lane.endBackoff(now)
      if (this.#gate.shut) this.#probeTransport(now)
      else this.#handOver(now)
    }
    this.#scheduled = false
    this.#pumping = false
    this.#arm()
  }

  #handOver(now: number): void {
    const lanes = this.#lanes
    for (let from = 0, to = 0; from < lanes.length; from = to) {
      const { level } = lanes[from] as Lane
      while (lanes[to]?.level === level) to++
      // Topics take turns: who went first goes last the next time.
      const turn = to - from > 1 ? this.#turn++ : 0
      for (let stuck = 0, index = turn; stuck < to - from && !this.#gate.shut && this.#blockedSince === undefined; index++) {
        stuck = this.#send(lanes[from + (index % (to - from))] as Lane, now) ? 0 : stuck + 1
      }
    }
  }

  /** Makes one call for a lane, if it may have one. */
  #send(lane: Lane, now: number): boolean {
    if (lane.waiting.size === 0 || this.#stopped !== undefined) return false
    const { messages, bytes } = this.#window.room(lane, this.#lanes)
    if (messages <= 0) return false
    if (lane.gate.shut) return lane.gate.ready(now) && this.#call(lane, lane.batch(1, 0), [lane.gate])
    return this.#call(lane, lane.batch(messages, bytes), [])
  }

  #probeTransport(now: number): void {
    if (!this.#gate.ready(now)) return
    // A destination that has trouble of its own is the last to ask about the whole transport.
    for (const troubled of [false, true]) {
      for (const lane of this.#lanes) {
        const { gate } = lane
        if (gate.shut !== troubled || gate.probe !== undefined || this.#window.room(lane, this.#lanes).messages <= 0) continue
        if (this.#call(lane, lane.batch(1, 0), troubled ? [this.#gate, gate] : [this.#gate])) return
      }
    }
  }

  #call(lane: Lane, items: readonly Item[], gates: readonly Gate[]): boolean {
    if (items.length === 0) return false
    const call = new Call(lane, items, gates, this.#active(), (attempt, verdict) => this.#settled(call, attempt, verdict))
    for (const gate of gates) gate.probe = call
    this.#window.enter(call)
    const broke = (cause: unknown) => {
      call.settleOpen({ ...failure('UNKNOWN', 'driver-fault', 'The driver threw where it must not.'), maybeSent: true, cause })
    }
    try {
      const handed = this.driver.publish(call.messages, call.settle, this.#callOptions) as PromiseLike<void> | undefined
      if (typeof handed?.then === 'function') handed.then(undefined, broke)
    } catch (error) {
      broke(error)
    }
    return true
  }

  /** One attempt has its outcome. Its item may have ended long ago, or be in another attempt. */
  #settled(call: Call, attempt: OutboundMessage, given: Failure | undefined): void {
    const item = call.itemOf(attempt)
    const verdict = given === undefined ? undefined : toFailure(given)
    if (call.timedOut) this.#window.overdue--
    else {
      this.#window.leave(call, item)
      this.#tellGates(call, verdict)
    }
    if (item.status !== 'pending') this.#counts.late++
    else if (verdict === undefined) this.#end(item, 'confirmed')
    else if (item.attempt === attempt) this.#failed(item, verdict)
    item.lane.unpark(item)
    this.#rest()
    this.#schedule()
  }

  /** Only what was sent as a probe speaks about a gate that is shut. */
  #tellGates(call: Call, verdict: Failure | undefined): void {
    for (const gate of call.gates) {
      if (gate.probe !== call) continue
      const wide = gate === this.#gate
      const same = verdict?.scope === (wide ? 'transport' : 'destination')
      if (verdict !== undefined && (same || verdict.reason === 'attempt-timeout')) {
        gate.stay(verdict, this.#options.backoff, this.#clock)
      } else if (verdict?.scope === 'transport') gate.retry(this.#clock.now())
      else {
        gate.open()
        this.#teller.tell({ state: 'up' }, wide ? undefined : call.lane.destination)
      }
    }
  }

  #failed(item: Item, verdict: Failure): void {
    const { lane } = item
    const { retry, backoff } = this.#options
    item.attempt = undefined
    item.last = verdict
    item.maybeSent ||= verdict.maybeSent
    if (verdict.scope !== 'message') {
      const wide = verdict.scope === 'transport'
      ;(wide ? this.#gate : lane.gate).close(verdict, backoff, this.#clock)
      this.#teller.tell({ state: 'down', failure: verdict }, wide ? undefined : lane.destination)
      if (!verdict.retryable) for (const behind of wide ? this.#lanes : [lane]) this.#endAll(behind, verdict)
    }
    const unsent = verdict.reason === 'split' || verdict.reason === 'after-failure'
    if (unsent) {
      item.attempts--
      item.alone ||= verdict.reason === 'split'
    }
    if (!verdict.retryable || (retry >= 0 && item.attempts > retry)) this.#end(item, 'failed', verdict)
    else if (this.#stopped !== undefined) this.#end(item, 'failed', this.#stopped)
    else if (verdict.scope !== 'message') move(item, lane.waiting)
    // It was given back through no fault of its own, and goes again at once. A second time it waits, since a
    // driver that never stops giving back would keep the program busy.
    else if (unsent && item.failures++ === 0) move(item, lane.waiting)
    else lane.delay(item, this.#clock.now() + backoffMs(unsent ? item.failures : ++item.failures, backoff, this.#clock, verdict.retryAfterMs))
  }

  #end(item: Item, status: 'confirmed' | 'failed' | 'shed', because?: Failure): void {
    const { lane } = item
    const inFlight = item.list === lane.flying && item.attempt !== undefined
    lane.remove(item)
    this.#buffer.free(item)
    // Whether an earlier attempt may have been stored is not forgotten.
    const doubt = item.maybeSent || (inFlight && status !== 'confirmed')
    this.#conclude(item, status, because !== undefined && doubt !== because.maybeSent ? { ...because, maybeSent: doubt } : because)
    lane.unpark(item)
  }

  #conclude(item: Item, status: 'confirmed' | 'failed' | 'shed', because: Failure | undefined): void {
    item.status = status
    item.failure = because
    this.#counts[status]++
    item.emit.itemEnded(item)
  }

  /** Ends everything of a lane that is not in flight. */
  #endAll(lane: Lane, because: Failure): void {
    // Ending one can bring another of its key back from where it was parked.
    while (lane.pending > lane.flying.size) {
      const item = lane.waiting.head ?? lane.delayed.head ?? lane.parked.head
      this.#end(item as Item, 'failed', because)
    }
  }

  #wake(): void {
    const active = this.#active()
    const { attemptTimeoutMs } = this.#options
    for (let call = this.#window.calls.head; call !== undefined && this.#blockedSince === undefined; ) {
      const { next } = call
      if (call.startedAt + attemptTimeoutMs > active) break
      this.#timeOut(call)
      call = next
    }
    this.#schedule()
    this.#arm()
  }

  /** A call that took too long has failed. What the driver still holds of it may yet be confirmed. */
  #timeOut(call: Call): void {
    const open = call.openMessages()
    const items = open.map((message) => call.itemOf(message))
    this.#window.expire(call, items)
    const silence: Failure = {
      ...failure('UNAVAILABLE', 'attempt-timeout', `No answer came within ${this.#options.attemptTimeoutMs} ms.`),
      retryable: true,
      maybeSent: true,
      scope: 'destination',
    }
    this.#tellGates(call, silence)
    items.forEach((item, index) => {
      if (item.status === 'pending' && item.attempt === open[index]) this.#failed(item, silence)
      item.lane.unpark(item)
    })
  }

  /** Asks to be woken when the next thing is due by itself. */
  #arm(): void {
    if (this.#stopped !== undefined || this.#blockedSince !== undefined) return
    const now = this.#clock.now()
    const oldest = this.#window.calls.head
    if (oldest !== undefined) {
      this.#alarm.by(now + oldest.startedAt + this.#options.attemptTimeoutMs - this.#active())
    }
    for (const { waiting, due, gate } of this.#lanes) {
      this.#alarm.by(due)
      if (waiting.size === 0) continue
      const shut = this.#gate.shut ? this.#gate : gate
      // One that is due already waits for room in the window, not for time.
      if (shut.shut && shut.probe === undefined && shut.due > now) this.#alarm.by(shut.due)
    }
  }

  /** With nothing pending, no timer keeps the process alive. */
  #rest(): void {
    if (this.#window.calls.size === 0 && this.#buffer.messages === 0) this.#alarm.clear()
  }

  /** The clock of attempts, which stands still while the broker asks for silence. */
  #active(): number {
    const now = this.#blockedSince ?? this.#clock.now()
    return now - this.#blockedMs
  }

  #observed(status: Status): void {
    if (this.#stopped !== undefined) return
    const now = this.#clock.now()
    if (status.state === 'blocked') this.#blockedSince ??= now
    else if (this.#blockedSince !== undefined) {
      this.#blockedMs += now - this.#blockedSince
      this.#blockedSince = undefined
    }
    if (status.state === 'up') {
      for (const gate of [this.#gate, ...this.#lanes.map((lane) => lane.gate)]) gate.due = Math.min(gate.due, now)
    }
    this.#teller.tell(status)
    this.#schedule()
  }

  #prune(): void {
    for (const lane of this.#lanes.filter(({ idle }) => idle)) {
      this.#lanes.splice(this.#lanes.indexOf(lane), 1)
      this.#named.delete(lane.destination.name)
    }
  }
}

/** Stands for the body of what was refused before it was encoded. */
const UNSENT: Encoded = { body: new Uint8Array(), contentType: '', headers: {}, key: undefined, size: 0 }
