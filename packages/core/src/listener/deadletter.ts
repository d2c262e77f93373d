import { Alarm, type Clock, NEVER, timestamp } from '../clock.ts'
import type { Delivery, Destination, Driver } from '../driver.ts'
import { PRIORITIES } from '../envelope.ts'
import { type Failure, failure } from '../errors.ts'
import { sizeOf } from '../message.ts'
import { destinationsOf } from '../notifier/route.ts'
import type { StatusTeller } from '../observe.ts'
import { type Backoff, backoffMs } from '../retry.ts'
import type { Encoded, Item, Owner } from '../sender/buffer.ts'
import { Sender } from '../sender/sender.ts'
import { deadLetter, type Verdict } from './letter.ts'

/** How long a driver may take over one attempt. */
const ATTEMPT_MS = 30_000

/** Who wants a dead letter written. */
export interface Mourner {
  /** The broker has it. */
  confirmed(): void
  /** It is refused for its shape, with headers and without. Said once; it is tried again all the same. */
  refused(failure: Failure): void
  /** It was not confirmed, and is not tried again, since the listener stops. */
  gaveUp(): void
}

/** One message that is to reach the dead letters, whatever it takes. To its sender it is like an emit. */
export class Letter implements Owner {
  readonly id: string
  readonly destination: Destination
  readonly mourner: Mourner
  encoded: Encoded
  item: Item | undefined
  failures = 0
  refused = false
  dueAt = 0
  readonly #dedupId: string
  readonly #ended: (letter: Letter, failure: Failure | undefined) => void

  constructor(
    id: string,
    dedupId: string,
    destination: Destination,
    encoded: Encoded,
    mourner: Mourner,
    ended: (letter: Letter, failure: Failure | undefined) => void,
  ) {
    this.id = id
    this.#dedupId = dedupId
    this.destination = destination
    this.encoded = encoded
    this.mourner = mourner
    this.#ended = ended
  }

  dedupId(): string {
    return this.#dedupId
  }

  add(item: Item): void {
    this.item = item
  }

  itemEnded(item: Item): void {
    this.item = undefined
    this.#ended(this, item.failure)
  }
}

/**
 * Writes dead letters through the listener's own driver, each until it is confirmed, since the original is
 * acknowledged only after that. What a sender does for emits it does for them: window, batches, gates, retries.
 * Where it gives up, for a failure that another attempt would not cure, this goes on.
 */
export class DeadLetters {
  readonly #driver: Driver
  readonly #group: string | undefined
  readonly #backoff: Backoff
  readonly #teller: StatusTeller
  readonly #clock: Clock
  readonly #alarm: Alarm
  readonly #letters = new Set<Letter>()
  #sender: Sender | undefined
  #stopping = false

  constructor(
    driver: Driver,
    group: string | undefined,
    backoff: Backoff,
    teller: StatusTeller,
    clock: Clock,
  ) {
    this.#driver = driver
    this.#group = group
    this.#backoff = backoff
    this.#teller = teller
    this.#clock = clock
    this.#alarm = new Alarm(clock, () => this.#ring())
  }

  /** What an operator should know of, in sentences. */
  warnings(): string[] {
    const refused = [...this.#letters].filter((letter) => letter.refused || letter.failures > 0).length
    const warnings = this.#sender?.warnings() ?? []
    if (refused > 0) warnings.push(`${refused} dead letters are refused, and their messages are kept`)
    return warnings
  }

  /** Before the first is sent, and after each {@link close}. */
  open(): void {
    this.#sender = new Sender(this.#driver, { ...LIMITS, backoff: this.#backoff }, this.#teller, this.#clock)
  }

  /**
   * Begins to send one.
   *
   * @param id the message's own, which has to be a legal one
   */
  send(delivery: Delivery, source: Destination, id: string, verdict: Verdict, mourner: Mourner): Letter {
    const origin = { source, group: this.#group, at: timestamp(this.#clock.wall()) }
    const destination = destinationsOf(`${source.topic}.dead`)[
      PRIORITIES.indexOf(source.priority)
    ] as Destination
    const letter = new Letter(
      id,
      // Each source and each group has dead letters of its own.
      `${id}/${source.name}/dead/${this.#group ?? ''}`,
      destination,
      deadLetter(delivery, verdict, origin),
      mourner,
      (ended, because) => this.#ended(ended, because),
    )
    this.#letters.add(letter)
    this.#post(letter)
    return letter
  }

  /** It is no longer wanted: its original comes back. */
  drop(letter: Letter): void {
    if (this.#letters.delete(letter)) letter.item?.drop(failure('ABORTED'))
  }

  /** Gives up what is not in flight, and from here on what its sender gives up. */
  halt(): void {
    this.#stopping = true
    for (const letter of this.#letters) {
      if (letter.item === undefined || letter.item.list !== letter.item.lane.flying) this.#giveUp(letter)
    }
  }

  /** Aborts what is in flight. It may be opened again. */
  close(reason: Failure): void {
    this.#letters.clear()
    this.#sender?.finish(reason)
    this.#sender = undefined
    this.#alarm.clear()
    this.#stopping = false
  }

  #post(letter: Letter): void {
    letter.dueAt = NEVER
    this.#sender?.admit(letter, letter.destination, true, letter.encoded)
  }

  /** The sender is done with it. What comes next has to come from a turn of its own. */
  #ended(letter: Letter, because: Failure | undefined): void {
    if (!this.#letters.has(letter)) return
    if (because === undefined) {
      this.#letters.delete(letter)
      letter.mourner.confirmed()
      return
    }
    if (this.#stopping) {
      this.#giveUp(letter)
      return
    }
    letter.dueAt = this.#clock.now() + this.#wait(letter, because)
    this.#alarm.by(letter.dueAt)
  }

  #wait(letter: Letter, because: Failure): number {
    const { code, retryAfterMs } = because
    if (code !== 'TOO_LARGE' && code !== 'INVALID' && code !== 'UNSUPPORTED') {
      return backoffMs(++letter.failures, this.#backoff, this.#clock, retryAfterMs)
    }
    const { body, contentType, key, headers } = letter.encoded
    if (Object.keys(headers).length > 0) {
      letter.encoded = { body, contentType, key, headers: {}, size: sizeOf(body, {}, key) }
      return 0
    }
    if (!letter.refused) letter.mourner.refused(because)
    letter.refused = true
    return this.#backoff.maxMs
  }

  #giveUp(letter: Letter): void {
    this.drop(letter)
    letter.mourner.gaveUp()
  }

  #ring(): void {
    const now = this.#clock.now()
    for (const letter of this.#letters) if (letter.dueAt <= now) this.#post(letter)
    for (const letter of this.#letters) this.#alarm.by(letter.dueAt)
  }
}

/** Nothing bounds a dead letter but the prefetch of what it came from. */
const LIMITS = {
  buffer: { messages: NEVER, bytes: NEVER },
  attemptTimeoutMs: ATTEMPT_MS,
  retry: -1,
}
