import { NEVER } from '../clock.ts'
import { PRIORITIES, type Priority } from '../envelope.ts'
import { type Linked, List } from '../list.ts'

/** How many starts each priority gets in a round in which all seven have something waiting: 20 together. */
const WEIGHTS: Readonly<Record<Priority, number>> = {
  DEBUG: 1,
  SAMPLE: 1,
  INFO: 2,
  AUDIT: 3,
  WARN: 3,
  ERROR: 4,
  CRITICAL: 6,
}

/** For how long new starts wait at most, so that a suspect can run alone. */
const ALONE_MS = 30_000
/** And so long for the answers of a transport, which may never come. */
const SETTLE_MS = 5_000

/** What waits for a slot. What is not read-only is the lanes' to write. */
export interface Item<T extends Linked<T>> extends Linked<T> {
  readonly queue: Queue<T>
  /** Of the items of one queue that share a key one runs at a time, in the order in which they were added. */
  readonly key: string | undefined
  /** It may kill the process: it runs while nothing else does, and nothing is being settled. */
  readonly suspect: boolean
  holdsKey: boolean
}

/** What waits of one destination. */
export interface Queue<T extends Linked<T>> {
  readonly lane: Lane<T>
  readonly ready: List<T>
  /** Keys that are held, each with those that wait for it. */
  readonly keys: Map<string, List<T> | undefined>
}

/** One priority, over all topics. */
interface Lane<T extends Linked<T>> {
  readonly weight: number
  readonly urgent: boolean
  readonly queues: Queue<T>[]
  ready: number
  turn: number
}

/**
 * Who runs next. One lane for each priority, served by weighted round robin, so that what matters more goes
 * first and nothing starves; some slots take only ERROR and CRITICAL, so that these need not wait for a slow
 * INFO to end; destinations of one lane take turns. Knows neither time nor chance but what it is handed.
 */
export class Lanes<T extends Item<T>> {
  readonly #concurrency: number
  /** Most important first. */
  readonly #lanes: readonly Lane<T>[]
  readonly #suspects: T[] = []
  #ready = 0
  #running = 0
  #ordinary = 0
  #turn = 0
  #credit: number = WEIGHTS.CRITICAL
  #alone: T | undefined
  #aloneUntil: number = NEVER
  #settleUntil: number = NEVER
  #wakeAt: number = NEVER
  #sinceSuspect: number = NEVER

  constructor(concurrency: number) {
    this.#concurrency = concurrency
    this.#lanes = PRIORITIES.toReversed().map((priority) => ({
      weight: WEIGHTS[priority],
      urgent: priority === 'ERROR' || priority === 'CRITICAL',
      queues: [],
      ready: 0,
      turn: 0,
    }))
  }

  /** How many slots are taken. */
  get running(): number {
    return this.#running
  }

  /** Whether one waits that may kill the process. */
  get suspects(): boolean {
    return this.#suspects.length > 0
  }

  /** When {@link take} is to be asked again although nothing has happened. */
  get wakeAt(): number {
    return this.#aloneUntil === NEVER ? NEVER : this.#wakeAt
  }

  /** Makes the queue of one more destination. */
  queue(priority: Priority): Queue<T> {
    const lane = this.#lanes[PRIORITIES.length - 1 - PRIORITIES.indexOf(priority)] as Lane<T>
    const queue: Queue<T> = { lane, ready: new List(), keys: new Map() }
    lane.queues.push(queue)
    return queue
  }

  /** Lets an item wait for a slot, and before that for its key, unless it holds it already. */
  add(item: T): void {
    const { key, queue } = item
    if (key !== undefined && !item.holdsKey) {
      if (queue.keys.has(key)) {
        const waiting = queue.keys.get(key) ?? new List<T>()
        queue.keys.set(key, waiting)
        waiting.append(item)
        return
      }
      queue.keys.set(key, undefined)
      item.holdsKey = true
    }
    this.#admit(item)
  }

  /** Takes back an item that waits here. Nothing happens to one that does not. */
  remove(item: T): void {
    const { list, queue } = item
    if (list === undefined) {
      const at = this.#suspects.indexOf(item)
      if (at >= 0) this.#suspects.splice(at, 1)
      return
    }
    ;(list as List<T>).remove(item)
    if (list === queue.ready) this.#count(queue.lane, -1)
  }

  /** Lets go of the item's key: the next one that waits for it is admitted. */
  free(item: T): void {
    if (!item.holdsKey) return
    item.holdsKey = false
    const { keys } = item.queue
    const waiting = keys.get(item.key as string)
    const next = waiting?.head
    if (next === undefined) {
      keys.delete(item.key as string)
      return
    }
    waiting?.remove(next)
    next.holdsKey = true
    this.#admit(next)
  }

  /**
   * The item that is to start now, if one may. It has its slot until {@link leave}.
   *
   * @param now monotonic milliseconds
   * @param random draws from [0, 1)
   * @param settling how many have ended, and would come again if the process died now
   */
  take(now: number, random: () => number, settling: number): T | undefined {
    if (this.#running >= this.#concurrency) return undefined
    if (this.#alone !== undefined && now < this.#aloneUntil) return undefined
    // A suspect takes the whole listener. In between, the others get as many starts as there are slots.
    if (this.#suspects.length > 0 && (this.#ready === 0 || this.#sinceSuspect >= this.#concurrency)) {
      return this.#takeSuspect(now, random, settling)
    }
    this.#alone = undefined
    this.#aloneUntil = NEVER
    const lane = this.#next()
    if (lane === undefined) return undefined
    this.#count(lane, -1)
    this.#sinceSuspect++
    return this.#start(takeTurns(lane))
  }

  /** Gives the item's slot back. */
  leave(item: T): void {
    this.#running--
    if (!item.queue.lane.urgent) this.#ordinary--
    if (this.#alone !== item) return
    this.#alone = undefined
    this.#aloneUntil = NEVER
  }

  #admit(item: T): void {
    if (item.suspect) {
      this.#suspects.push(item)
      return
    }
    item.queue.ready.append(item)
    this.#count(item.queue.lane, 1)
  }

  #count(lane: Lane<T>, change: 1 | -1): void {
    lane.ready += change
    this.#ready += change
  }

  #start(item: T): T {
    this.#running++
    if (!item.queue.lane.urgent) this.#ordinary++
    return item
  }

  /**
   * Any of them, since nobody knows which one kills: with each death about half of the innocent have been
   * handled. Of each key only the first is among them, so that order is kept.
   */
  #takeSuspect(now: number, random: () => number, settling: number): T | undefined {
    if (this.#alone !== undefined || this.#aloneUntil === NEVER) {
      this.#alone = undefined
      this.#aloneUntil = now + ALONE_MS
      this.#settleUntil = now + SETTLE_MS
    }
    const settled = settling === 0 || now >= this.#settleUntil
    this.#wakeAt = settled ? this.#aloneUntil : this.#settleUntil
    if ((this.#running > 0 || !settled) && now < this.#aloneUntil) return undefined
    const [item] = this.#suspects.splice(Math.floor(random() * this.#suspects.length), 1) as [T]
    this.#sinceSuspect = 0
    this.#alone = item
    return this.#start(item)
  }

  #next(): Lane<T> | undefined {
    // Slots that are kept free for what is urgent.
    const reserved = Math.floor(this.#concurrency / 8)
    const open = this.#ordinary < this.#concurrency - reserved
    for (let visits = 0; visits <= this.#lanes.length; visits++) {
      const lane = this.#lanes[this.#turn] as Lane<T>
      if (this.#credit > 0 && lane.ready > 0 && (open || lane.urgent)) {
        this.#credit--
        return lane
      }
      this.#turn = (this.#turn + 1) % this.#lanes.length
      this.#credit = (this.#lanes[this.#turn] as Lane<T>).weight
    }
    return undefined
  }
}

function takeTurns<T extends Item<T>>(lane: Lane<T>): T {
  for (;;) {
    const queue = lane.queues[lane.turn] as Queue<T>
    lane.turn = (lane.turn + 1) % lane.queues.length
    const { ready } = queue
    if (ready.head === undefined) continue
    const item = ready.head
    ready.remove(item)
    return item
  }
}
