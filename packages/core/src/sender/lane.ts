import type { Destination } from '../driver.ts'
import { PRIORITIES } from '../envelope.ts'
import { List } from '../list.ts'
import type { Item } from './buffer.ts'
import type { Call } from './call.ts'
import { Gate } from './gate.ts'

/** Items in the order of their admission, wherever they come back from. */
export class Queue extends List<Item> {
  /** Where the last one went in: what comes back together goes in side by side. */
  #hint: Item | undefined

  insert(item: Item): void {
    let at = this.#hint?.list === this ? this.#hint : this.head
    if (this.tail === undefined || this.tail.sequence < item.sequence) at = this.tail
    while (at !== undefined && at.sequence > item.sequence) at = at.previous
    let next = at === undefined ? this.head : at.next
    while (next !== undefined && next.sequence < item.sequence) {
      at = next
      next = next.next
    }
    this.after(at, item)
    this.#hint = item
  }
}

/** Takes an item from the list in which it stands into another one. */
export function move(item: Item, to: Queue): void {
  ;(item.list as Queue).remove(item)
  to.insert(item)
}

/** The open messages of one ordering key, first to last, and how many attempts of it are in flight. */
interface Key {
  first: Item | undefined
  last: Item | undefined
  inFlight: number
}

/**
 * What a sender has for one destination. Each of its items stands in exactly one of four lists, so that what
 * is pending is their sum and never a number kept beside them.
 */
export class Lane {
  readonly destination: Destination
  /** The place of its priority in PRIORITIES. */
  readonly level: number
  readonly gate: Gate = new Gate()
  readonly waiting: Queue = new Queue()
  /** Backing off, each for a failure of its own. */
  readonly delayed: Queue = new Queue()
  /** Behind an earlier message of the same key. */
  readonly parked: Queue = new Queue()
  readonly flying: Queue = new Queue()
  /** Its part of the buffer, in bytes. */
  bytes = 0
  /** Its part of the driver's window, held until a call settles or times out, whatever became of the item. */
  readonly window: { messages: number; bytes: number; calls: number } = { messages: 0, bytes: 0, calls: 0 }
  #due = Number.POSITIVE_INFINITY
  #restUntil = 0
  readonly #keys = new Map<string, Key>()
  /** How many messages of one key may be in one call. */
  readonly #together: number

  constructor(destination: Destination, level: number, together: number) {
    this.destination = destination
    this.level = level
    this.#together = together
  }

  get pending(): number {
    return this.waiting.size + this.delayed.size + this.parked.size + this.flying.size
  }

  /** When the next backoff may end. */
  get due(): number {
    return Math.max(this.#due, this.#restUntil)
  }

  get idle(): boolean {
    return this.pending === 0 && this.window.calls === 0 && this.#keys.size === 0
  }

  /** A new item, at the end. */
  add(item: Item): void {
    const name = item.message.key
    if (name === undefined) {
      this.waiting.append(item)
      return
    }
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = { first: undefined, last: undefined, inFlight: 0 }
      this.#keys.set(name, key)
    }
    const before = key.last
    item.before = before
    if (before === undefined) key.first = item
    else before.behind = item
    key.last = item
    const behind = this.#together > 1 ? before?.list === this.parked : before !== undefined
    if (behind || key.inFlight > 0) this.parked.append(item)
    else this.waiting.append(item)
  }

  /** An item that has ended. */
  remove(item: Item): void {
    ;(item.list as Queue).remove(item)
    const name = item.message.key
    if (name === undefined) return
    const key = this.#keys.get(name) as Key
    if (item.before === undefined) key.first = item.behind
    else item.before.behind = item.behind
    if (item.behind === undefined) key.last = item.before
    else item.behind.before = item.before
    item.before = undefined
    item.behind = undefined
    this.#forget(name, key)
  }

  /** Puts an item aside until a time. */
  delay(item: Item, due: number): void {
    item.due = due
    if (due < this.#due) this.#due = due
    move(item, this.delayed)
  }

  /** Brings back those whose backoff has ended. */
  endBackoff(now: number): void {
    if (now < this.due) return
    this.#due = Number.POSITIVE_INFINITY
    this.#restUntil = now + SCAN_MS
    for (let item = this.delayed.head; item !== undefined; ) {
      const { next } = item
      if (item.due <= now) move(item, this.waiting)
      else if (item.due < this.#due) this.#due = item.due
      item = next
    }
  }

  /**
   * The next ones that may go in one call: at most `most`, and `bytes` together unless the first alone is
   * larger. What stands behind an earlier message of its key steps aside. What is past its deadline is left
   * where it is: a thread that was blocked may get here before the timer that ends it.
   */
  batch(most: number, bytes: number, now: number): Item[] {
    const batch: Item[] = []
    for (let item = this.waiting.head; item !== undefined && batch.length < most; ) {
      const { next } = item
      if (!this.#mayGo(item, batch)) move(item, this.parked)
      else if (item.owner.deadline === undefined || item.owner.deadline > now) {
        if (batch.length > 0 && (item.alone || item.message.size > bytes)) break
        bytes -= item.message.size
        item.batch = batch
        batch.push(item)
        if (item.alone) break
      }
      item = next
    }
    return batch
  }

  /** Counts a call in. */
  enter(call: Call): void {
    this.window.calls++
    this.window.messages += call.items.length
    this.window.bytes += call.bytes
    for (const item of call.items) {
      move(item, this.flying)
      const key = this.#key(item)
      if (key !== undefined) key.inFlight++
    }
  }

  /** Counts one of its messages out. */
  leave(item: Item): void {
    this.window.messages--
    this.window.bytes -= item.message.size
    const key = this.#key(item)
    if (key === undefined) return
    key.inFlight--
    this.#forget(item.message.key as string, key)
  }

  /** Brings back the next of an item's key, once nothing of that key is in flight. */
  unpark(item: Item): void {
    const key = this.#key(item)
    if (key === undefined || key.inFlight > 0) return
    let most = this.#together
    for (let next = key.first; next !== undefined && most > 0; next = next.behind, most--) {
      if (next.list === this.parked) move(next, this.waiting)
      else if (next.list !== this.waiting) return
    }
  }

  /** What has not been handed over, the newest first. */
  *newest(): Generator<Item> {
    const tails = [this.waiting.tail, this.delayed.tail, this.parked.tail]
    for (;;) {
      let latest = 0
      for (const index of [1, 2]) {
        if ((tails[index]?.sequence ?? -1) > (tails[latest]?.sequence ?? -1)) latest = index
      }
      const item = tails[latest]
      if (item === undefined) return
      tails[latest] = item.previous
      yield item
    }
  }

  #key(item: Item): Key | undefined {
    return item.message.key === undefined ? undefined : this.#keys.get(item.message.key)
  }

  #mayGo(item: Item, batch: readonly Item[]): boolean {
    const key = this.#key(item)
    if (key === undefined) return true
    if (key.inFlight > 0) return false
    return (
      item.before === undefined || (this.#together > 1 && item.before.batch === batch && batch.length > 0)
    )
  }

  /** A key of which nothing is open any more takes no memory. */
  #forget(name: string, key: Key): void {
    if (key.first === undefined && key.inFlight === 0) this.#keys.delete(name)
  }
}

/** All that back off are looked through at most so often: with ten thousand of them, somebody is always due. */
const SCAN_MS = 4

const FEW_LANES = 500

/** The lanes of one driver, made as destinations are first used. */
export class Lanes {
  /** The most important first. Replaced, never changed: who goes through it may call what emits. */
  all: readonly Lane[] = []
  readonly #named = new Map<string, Lane>()
  readonly #together: number
  #pruneAt = FEW_LANES

  constructor(together: number) {
    this.#together = together
  }

  get(destination: Destination): Lane {
    const known = this.#named.get(destination.name)
    if (known !== undefined) return known
    // A program may make topics up as it goes. The trouble of one that nobody waits for is forgotten last.
    if (this.all.length >= this.#pruneAt) this.#prune()
    const level = PRIORITIES.indexOf(destination.priority)
    const lane = new Lane(destination, level, this.#together)
    let place = this.all.length
    while (place > 0 && (this.all[place - 1] as Lane).level < level) place--
    this.all = this.all.toSpliced(place, 0, lane)
    this.#named.set(destination.name, lane)
    return lane
  }

  #prune(): void {
    for (const shut of [false, true]) {
      if (this.all.length < FEW_LANES) break
      this.all = this.all.filter((lane) => {
        if (!lane.idle || lane.gate.shut !== shut) return true
        this.#named.delete(lane.destination.name)
        return false
      })
    }
    // Not for each one that comes, where none of them is idle.
    this.#pruneAt = Math.max(FEW_LANES, 2 * this.all.length)
  }
}
