import type { Destination, OutboundMessage, Settle } from '../driver.ts'
import type { Failure } from '../errors.ts'
import type { Linked } from '../list.ts'
import type { Item } from './buffer.ts'
import type { Gate } from './gate.ts'
import type { Lane } from './lane.ts'

/** One message of one call: its own object is the handle by which it is settled. */
class Attempt implements OutboundMessage {
  readonly id: string
  readonly dedupId: string
  readonly destination: Destination
  readonly body: Uint8Array
  readonly contentType: string
  readonly headers: Readonly<Record<string, string>>
  declare readonly key?: string
  readonly #call: Call
  readonly #item: Item
  #settled = false

  constructor(call: Call, item: Item) {
    const { destination } = item.lane
    const { body, contentType, headers, key } = item.message
    this.id = item.owner.id
    this.dedupId = item.owner.dedupId(destination)
    this.destination = destination
    this.body = body
    this.contentType = contentType
    this.headers = headers
    if (key !== undefined) this.key = key
    this.#call = call
    this.#item = item
  }

  /** The attempt that a driver means, if it is one of this call and still open. */
  static open(message: unknown, call: Call): Attempt | undefined {
    if (typeof message !== 'object' || message === null || !(#call in message)) return undefined
    return message.#call === call && !message.#settled ? message : undefined
  }

  static settle(attempt: Attempt): void {
    attempt.#settled = true
  }

  static item(attempt: Attempt): Item {
    return attempt.#item
  }
}

/** One call of `publish`, from handing over until each of its messages is settled. */
export class Call implements Linked<Call> {
  previous: Call | undefined
  next: Call | undefined
  list: object | undefined

  readonly lane: Lane
  readonly items: readonly Item[]
  readonly messages: readonly OutboundMessage[]
  /** The gates about which it finds out. */
  readonly gates: readonly Gate[]
  /** On the clock of attempts. */
  readonly startedAt: number
  readonly bytes: number
  readonly settle: Settle
  open: number
  timedOut = false

  constructor(
    lane: Lane,
    items: readonly Item[],
    gates: readonly Gate[],
    startedAt: number,
    settled: (message: OutboundMessage, failure: Failure | undefined) => void,
  ) {
    this.lane = lane
    this.items = items
    this.gates = gates
    this.startedAt = startedAt
    this.open = items.length
    let bytes = 0
    const messages: Attempt[] = []
    for (const item of items) {
      const attempt = new Attempt(this, item)
      messages.push(attempt)
      bytes += item.message.size
      item.attempt = attempt
      item.attempts++
    }
    // It is read again when the call is over: a driver that empties it would lose the rest.
    this.messages = Object.freeze(messages)
    this.bytes = bytes
    this.settle = (message, failure) => {
      const attempt = Attempt.open(message, this)
      if (attempt === undefined) return
      Attempt.settle(attempt)
      this.open--
      settled(attempt, failure)
    }
  }

  itemOf(message: OutboundMessage): Item {
    return Attempt.item(message as Attempt)
  }

  openMessages(): OutboundMessage[] {
    return this.messages.filter((message) => Attempt.open(message, this) !== undefined)
  }

  settleOpen(failure: Failure): void {
    for (const message of this.openMessages()) this.settle(message, failure)
  }
}
