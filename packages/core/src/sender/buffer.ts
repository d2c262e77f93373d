import type { Destination } from '../driver.ts'
import { type Failure, failure } from '../errors.ts'
import type { Linked } from '../list.ts'
import type { Result } from '../notifier/emission.ts'
import type { Lane } from './lane.ts'
import type { Sender } from './sender.ts'

/** What all messages of one emit and codec share. */
export interface Encoded {
  readonly body: Uint8Array
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  readonly key: string | undefined
  /** Body, key, header names and values, in bytes. */
  readonly size: number
}

/** What a message belongs to, and what hears of its end: an emit, or a dead letter. */
export interface Owner {
  readonly id: string
  /** What the broker may deduplicate on, at one destination. */
  dedupId(destination: Destination): string
  /** When it is handed over no more, in the clock's milliseconds. Whoever set it ends it then. */
  readonly deadline?: number
  add(item: Item): void
  /** `item.status` and `item.failure` say how it ended. */
  itemEnded(item: Item): void
}

/** One emit for one driver and topic: what a sender keeps until its outcome is known. */
export class Item implements Linked<Item> {
  previous: Item | undefined
  next: Item | undefined
  list: object | undefined
  /** Its neighbours among the open messages of its key. */
  before: Item | undefined
  behind: Item | undefined

  /** The next one of its owner. */
  sibling: Item | undefined

  readonly owner: Owner
  readonly lane: Lane
  readonly sender: Sender
  /** Whether the emit waits for it. */
  readonly decides: boolean
  readonly message: Encoded
  /** The order of admission. */
  readonly sequence: number

  status: Result['status'] = 'pending'
  failure: Failure | undefined
  /** The latest failure of an attempt, for whoever ends up waiting in vain. */
  last: Failure | undefined
  /** How often it was handed over, not counting what a driver gave back unsent. */
  attempts = 0
  /** Failures of its own, which its backoff grows with. */
  failures = 0
  maybeSent = false
  /** A request that held it was refused as a whole: it goes in a call of its own. */
  alone = false
  /** When its backoff ends. */
  due = 0
  /** The batch for which it was picked last. */
  batch: readonly Item[] | undefined
  /** The attempt that is in flight. */
  attempt: object | undefined

  constructor(
    owner: Owner,
    lane: Lane,
    sender: Sender,
    decides: boolean,
    message: Encoded,
    sequence: number,
  ) {
    this.owner = owner
    this.lane = lane
    this.sender = sender
    this.decides = decides
    this.message = message
    this.sequence = sequence
  }

  /** Ends it if it is still open. */
  drop(because: Failure): void {
    this.sender.drop(this, because)
  }

  result(): Result {
    const { status, attempts, failure } = this
    const driver = this.sender.driver.name
    const { topic } = this.lane.destination
    return failure === undefined
      ? { driver, topic, status, attempts }
      : { driver, topic, status, attempts, failure }
  }
}

/** How much may wait and be in flight at one driver, together. */
export interface BufferLimits {
  readonly messages: number
  readonly bytes: number
}

/** What a full buffer holds on to, however low it ranks: AUDIT must be accounted for, CRITICAL is the highest. */
const KEPT: readonly string[] = ['AUDIT', 'CRITICAL']

const NOTHING: readonly Item[] = []

/** Bounds what a sender keeps, and decides who gives way. */
export class Buffer {
  messages = 0
  bytes = 0
  readonly limits: BufferLimits

  constructor(limits: BufferLimits) {
    this.limits = limits
  }

  /**
   * Why a message of `size` bytes cannot be taken, or else what has to be shed for it. All of that is worked
   * out before anything is shed: nothing gives way in vain.
   *
   * @param lanes the most important first.
   */
  admit(lane: Lane, size: number, lanes: readonly Lane[]): Failure | readonly Item[] {
    const { limits } = this
    if (size > limits.bytes) return failure('TOO_LARGE', 'buffer', 'The message is larger than buffer.bytes.')
    if (lane.gate.shut && (lane.pending + 1 > limits.messages / 2 || lane.bytes + size > limits.bytes / 2)) {
      return failure(
        'OVERLOADED',
        'destination',
        'The destination does not answer, and holds half of the buffer.',
      )
    }
    let messages = this.messages + 1 - limits.messages
    let bytes = this.bytes + size - limits.bytes
    if (messages <= 0 && bytes <= 0) return NOTHING
    const shed: Item[] = []
    for (let index = lanes.length - 1; index >= 0; ) {
      const { level } = lanes[index] as Lane
      if (level >= lane.level) break
      const peers: Lane[] = []
      for (; lanes[index]?.level === level; index--) peers.push(lanes[index] as Lane)
      if (KEPT.includes(peers[0]?.destination.priority as string)) continue
      for (const item of latestOf(peers)) {
        shed.push(item)
        messages--
        bytes -= item.message.size
        if (messages <= 0 && bytes <= 0) return shed
      }
    }
    return failure('OVERLOADED')
  }

  take(item: Item): void {
    this.messages++
    this.bytes += item.message.size
    item.lane.bytes += item.message.size
  }

  free(item: Item): void {
    this.messages--
    this.bytes -= item.message.size
    item.lane.bytes -= item.message.size
  }
}

/** What the topics of one priority have not handed over, the newest first. */
function* latestOf(lanes: readonly Lane[]): Generator<Item> {
  const rest = lanes.map((lane) => lane.newest())
  const heads = rest.map((items) => items.next().value as Item | undefined)
  for (;;) {
    let latest = 0
    heads.forEach((head, index) => {
      if ((head?.sequence ?? -1) > (heads[latest]?.sequence ?? -1)) latest = index
    })
    const item = heads[latest]
    if (item === undefined) return
    heads[latest] = rest[latest]?.next().value as Item | undefined
    yield item
  }
}
