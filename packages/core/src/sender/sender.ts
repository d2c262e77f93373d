import { Alarm, type Clock, Stopwatch } from '../clock.ts'
import type { CallOptions, Capabilities, Destination, Driver, OutboundMessage, Status } from '../driver.ts'
import { type Failure, failure, toFailure } from '../errors.ts'
import { type StatusTeller, watch } from '../observe.ts'
import { type Backoff, backoffMs } from '../retry.ts'
import { Buffer, type BufferLimits, type Encoded, Item, type Owner } from './buffer.ts'
import { Call } from './call.ts'
import { Gates } from './gate.ts'
import { type Lane, Lanes, move } from './lane.ts'
import { type Pick, Picker } from './picker.ts'
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
  readonly #options: SenderOptions
  readonly #capabilities: Capabilities
  readonly #clock: Clock
  /** The clock of attempts, which stands still while the broker asks for silence. */
  readonly #attemptClock: Stopwatch
  readonly #teller: StatusTeller
  readonly #buffer: Buffer
  readonly #window: Window
  readonly #lanes: Lanes
  readonly #gates: Gates
  readonly #picker: Picker
  readonly #counts = { emitted: 0, confirmed: 0, failed: 0, shed: 0, late: 0 }
  readonly #alarm: Alarm
  readonly #abort = new AbortController()
  readonly #callOptions: CallOptions
  readonly #unobserve: () => void
  #sequence = 0
  #pumping = false
  #scheduled = false
  #stopped: Failure | undefined

  constructor(driver: Driver, options: SenderOptions, teller: StatusTeller, clock: Clock) {
    const { capabilities } = driver
    this.driver = driver
    this.#options = options
    this.#capabilities = capabilities
    this.#clock = clock
    this.#attemptClock = new Stopwatch(clock)
    this.#teller = teller
    this.#buffer = new Buffer(options.buffer)
    this.#window = new Window(capabilities)
    this.#lanes = new Lanes(capabilities.ordering === 'key' ? capabilities.maxBatch : 1)
    this.#gates = new Gates(options.backoff, clock, teller)
    this.#picker = new Picker(this.#lanes, this.#gates, this.#window)
    this.#alarm = new Alarm(clock, () => this.#schedule())
    this.#callOptions = { timeoutMs: options.attemptTimeoutMs, signal: this.#abort.signal }
    this.#unobserve = watch(driver, (status) => this.#observed(status))
  }

  /** What can be said against an emit before it is encoded. */
  refusal(destination: Destination): Failure | undefined {
    const verdict = this.#verdict(this.#lanes.get(destination), 1)
    return 'code' in verdict ? verdict : undefined
  }

  /** Takes one message, or ends it at once; in either case it is counted, and its emit knows of it. */
  admit(owner: Owner, destination: Destination, decides: boolean, encoded: Encoded | Failure): void {
    this.#counts.emitted++
    const lane = this.#lanes.get(destination)
    const message = 'body' in encoded ? encoded : UNSENT
    const item = new Item(owner, lane, this, decides, message, this.#sequence++)
    owner.add(item)
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
    const last = item.last ?? item.lane.gate.failure ?? this.#gates.transport.failure
    const trouble =
      last === undefined
        ? ''
        : ` The latest trouble was ${last.code}: ${last.message ?? last.reason ?? 'unexplained'}`
    this.#end(item, 'failed', { ...because, message: `${because.message}${trouble}` })
    this.#rest()
    // It may have stood in the way of the next one of its key.
    this.#schedule()
  }

  stats(): DriverStats {
    let pending = 0
    let inFlight = 0
    for (const lane of this.#lanes.all) {
      pending += lane.pending
      inFlight += lane.flying.size
    }
    return { driver: this.driver.name, ...this.#counts, pending, inFlight }
  }

  /** What an operator should know of, in sentences. */
  warnings(): string[] {
    const warnings = this.#gates.warnings(this.#lanes.all)
    if (this.#attemptClock.stopped)
      warnings.push('the broker asked for silence: nothing is sent until it takes that back')
    const { messages, limits } = this.#buffer
    if (messages > limits.messages / 2)
      warnings.push(`the buffer holds ${messages} of ${limits.messages} messages`)
    return warnings
  }

  /** Ends what waits, and asks the driver to let go of what is in flight. What it answers still counts. */
  stop(because: Failure): void {
    if (this.#stopped !== undefined) return
    this.#stopped = because
    this.#alarm.clear()
    for (const lane of this.#lanes.all) this.#endAll(lane, because)
    this.#abort.abort(because)
  }

  /** Ends what the driver did not let go of. Nothing is heard of it afterwards. */
  finish(because: Failure): void {
    this.stop(because)
    for (const { flying } of this.#lanes.all) {
      while (flying.head !== undefined) this.#end(flying.head, 'failed', because)
    }
    this.#unobserve()
  }

  #verdict(lane: Lane, size: number): Failure | readonly Item[] {
    const refusal = this.#stopped ?? this.#gates.refusal(lane)
    if (refusal !== undefined) return refusal
    const { maxMessageBytes } = this.#capabilities
    if (size <= maxMessageBytes) return this.#buffer.admit(lane, size, this.#lanes.all)
    return failure(
      'TOO_LARGE',
      'message-bytes',
      `The message has ${size} bytes, and ${this.driver.name} takes ${maxMessageBytes}.`,
    )
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped !== undefined) return
    this.#scheduled = true
    if (!this.#pumping) queueMicrotask(() => this.#pump())
  }

  get #silent(): boolean {
    return this.#stopped !== undefined || this.#attemptClock.stopped
  }

  /** Hands over whatever may go now. Iterative: a driver that settles at once only makes it go round again. */
  #pump(): void {
    this.#pumping = true
    let now = this.#clock.now()
    while (this.#scheduled && !this.#silent) {
      this.#scheduled = false
      this.#expireCalls()
      now = this.#clock.now()
      for (const lane of this.#lanes.all) lane.endBackoff(now)
      for (
        let pick = this.#picker.next(now);
        pick !== undefined;
        pick = this.#silent ? undefined : this.#picker.next(now)
      ) {
        this.#call(pick)
      }
    }
    this.#scheduled = false
    this.#pumping = false
    this.#arm(now)
  }

  #call({ lane, items, gates }: Pick): void {
    const call = new Call(lane, items, gates, this.#attemptClock.now(), (attempt, verdict) =>
      this.#settled(call, attempt, verdict),
    )
    for (const gate of gates) gate.probe = call
    this.#window.enter(call)
    const broke = (cause: unknown) => {
      call.settleOpen({
        ...failure('UNKNOWN', 'driver-fault', 'The driver threw where it must not.'),
        maybeSent: true,
        cause,
      })
    }
    try {
      const handed = this.driver.publish(call.messages, call.settle, this.#callOptions) as
        | PromiseLike<void>
        | undefined
      if (typeof handed?.then === 'function') handed.then(undefined, broke)
    } catch (error) {
      broke(error)
    }
  }

  /** One attempt has its outcome. Its item may have ended long ago, or be in another attempt. */
  #settled(call: Call, attempt: OutboundMessage, given: Failure | undefined): void {
    const item = call.itemOf(attempt)
    const verdict = given === undefined ? undefined : toFailure(given)
    if (call.timedOut) this.#window.overdue--
    else {
      this.#window.leave(call, item)
      this.#gates.heard(call, verdict)
    }
    if (item.status !== 'pending') this.#counts.late++
    else if (verdict === undefined) this.#end(item, 'confirmed')
    else if (item.attempt === attempt) this.#failed(item, verdict)
    item.lane.unpark(item)
    this.#rest()
    this.#schedule()
  }

  #failed(item: Item, verdict: Failure): void {
    const { lane } = item
    const { retry, backoff } = this.#options
    item.attempt = undefined
    item.last = verdict
    item.maybeSent ||= verdict.maybeSent
    if (verdict.scope !== 'message') {
      this.#gates.shut(lane, verdict)
      const behind = verdict.scope === 'transport' ? this.#lanes.all : [lane]
      if (!verdict.retryable) for (const each of behind) this.#endAll(each, { ...verdict, maybeSent: false })
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
    else {
      const failures = unsent ? item.failures : ++item.failures
      lane.delay(item, this.#clock.now() + backoffMs(failures, backoff, this.#clock, verdict.retryAfterMs))
    }
  }

  #end(item: Item, status: 'confirmed' | 'failed' | 'shed', because?: Failure): void {
    const { lane } = item
    const inFlight = item.list === lane.flying && item.attempt !== undefined
    lane.remove(item)
    this.#buffer.free(item)
    // Whether an earlier attempt may have been stored is not forgotten.
    const doubt = because !== undefined && !because.maybeSent && (item.maybeSent || inFlight)
    this.#conclude(item, status, doubt ? { ...because, maybeSent: true } : because)
    lane.unpark(item)
  }

  #conclude(item: Item, status: 'confirmed' | 'failed' | 'shed', because: Failure | undefined): void {
    item.status = status
    item.failure = because
    this.#counts[status]++
    item.owner.itemEnded(item)
  }

  /** Ends everything of a lane that is not in flight. */
  #endAll(lane: Lane, because: Failure): void {
    // Ending one can bring another of its key back from where it was parked.
    while (lane.pending > lane.flying.size) {
      this.#end((lane.waiting.head ?? lane.delayed.head ?? lane.parked.head) as Item, 'failed', because)
    }
  }

  #expireCalls(): void {
    const now = this.#attemptClock.now()
    for (let call = this.#window.calls.head; call !== undefined; call = this.#window.calls.head) {
      if (call.startedAt + this.#options.attemptTimeoutMs > now) return
      this.#timeOut(call)
    }
  }

  /** A call that took too long has failed. What the driver still holds of it may yet be confirmed. */
  #timeOut(call: Call): void {
    const open = call.openMessages()
    const items = open.map((message) => call.itemOf(message))
    this.#window.expire(call, items)
    const silence: Failure = {
      ...failure(
        'UNAVAILABLE',
        'attempt-timeout',
        `No answer came within ${this.#options.attemptTimeoutMs} ms.`,
      ),
      retryable: true,
      maybeSent: true,
      scope: 'destination',
    }
    this.#gates.heard(call, silence)
    items.forEach((item, index) => {
      if (item.status === 'pending' && item.attempt === open[index]) this.#failed(item, silence)
      item.lane.unpark(item)
    })
  }

  /** Asks to be woken when the next thing is due by itself. What fell due since `lookedAt` has not been seen yet. */
  #arm(lookedAt: number): void {
    if (this.#stopped !== undefined || this.#buffer.messages === 0) return
    const now = this.#clock.now()
    if (this.#attemptClock.stopped) {
      // Nothing is due while the broker asks for silence; but a program that waits for it must not end.
      this.#alarm.by(now + KEEP_ALIVE_MS)
      return
    }
    const oldest = this.#window.calls.head
    if (oldest !== undefined) {
      this.#alarm.by(now + oldest.startedAt + this.#options.attemptTimeoutMs - this.#attemptClock.now())
    }
    const { transport } = this.#gates
    for (const { waiting, due, gate } of this.#lanes.all) {
      this.#alarm.by(due)
      const shut = transport.shut ? transport : gate
      // One that was due then waits for room in the window, not for time.
      if (waiting.size > 0 && shut.shut && shut.probe === undefined && shut.due > lookedAt)
        this.#alarm.by(shut.due)
    }
  }

  /** With nothing pending, no timer keeps the process alive. */
  #rest(): void {
    if (this.#buffer.messages === 0) this.#alarm.clear()
  }

  #observed(status: Status): void {
    if (this.#stopped !== undefined) return
    if (status.state === 'blocked') this.#attemptClock.stop()
    else this.#attemptClock.go()
    if (status.state === 'up') this.#gates.lookNow(this.#lanes.all)
    this.#teller.tell(status)
    this.#schedule()
  }
}

const KEEP_ALIVE_MS = 3_600_000

/** Stands for the body of what was refused before it was encoded. */
const UNSENT: Encoded = { body: new Uint8Array(), contentType: '', headers: {}, key: undefined, size: 0 }
