/** What the broker keeps, and all that can happen to it. */

export type Group = string | null

/** One message in one queue. */
export interface Entry {
  readonly number: number
  readonly message: object
  deliveries: number
}

/** What happens, as the journal has it. What is replayed in the same order comes to the same. */
export type Change = { readonly to: string } & (
  | { readonly is: 'declared'; readonly groups: readonly Group[] }
  | { readonly is: 'stored'; readonly number: number; readonly message: object }
  | { readonly is: 'delivered' | 'settled'; readonly group: Group; readonly number: number }
  | { readonly is: 'limited'; readonly most: number }
  | { readonly is: 'removed' }
)

/** Who takes messages out of a queue. */
export interface Consumer {
  readonly unsettled: Map<number, Entry>
  credit: number
  deliver(entry: Entry): void
  /** Its queue is gone. */
  end(): void
}

/** One group's messages. */
export class Queue {
  readonly to: string
  readonly group: Group
  /** All of them, the oldest first. */
  readonly entries = new Map<number, Entry>()
  /** Those that nobody has. */
  readonly #ready: Entry[] = []
  readonly #consumers: Consumer[] = []

  constructor(to: string, group: Group) {
    this.to = to
    this.group = group
  }

  get consumers(): number {
    return this.#consumers.length
  }

  put(entry: Entry): void {
    this.entries.set(entry.number, entry)
    this.#ready.push(entry)
  }

  add(consumer: Consumer): void {
    this.#consumers.push(consumer)
  }

  /** What it had comes before all others, or, where it gave it back, after them. */
  giveBack(entries: Iterable<Entry>, after = false): void {
    if (after) this.#ready.push(...entries)
    else this.#ready.unshift(...entries)
  }

  drop(consumer: Consumer): void {
    this.#consumers.splice(this.#consumers.indexOf(consumer), 1)
    this.giveBack(consumer.unsettled.values())
    consumer.unsettled.clear()
  }

  /** The next entry, and who is to have it, each in turn. */
  next(): { readonly entry: Entry; readonly consumer: Consumer } | undefined {
    const consumer = this.#consumers.find(({ unsettled, credit }) => unsettled.size < credit)
    if (consumer === undefined) return undefined
    let entry = this.#ready.shift()
    while (entry !== undefined && !this.entries.has(entry.number)) entry = this.#ready.shift()
    if (entry === undefined) return undefined
    this.#consumers.push(...this.#consumers.splice(this.#consumers.indexOf(consumer), 1))
    return { entry, consumer }
  }

  end(): void {
    for (const consumer of this.#consumers.splice(0)) consumer.end()
  }
}

interface Destination {
  readonly queues: Map<Group, Queue>
  most: number
}

export class Store {
  readonly #destinations = new Map<string, Destination>()
  #last = 0

  get nextNumber(): number {
    return this.#last + 1
  }

  queue(to: string, group: Group): Queue | undefined {
    return this.#destinations.get(to)?.queues.get(group)
  }

  queues(to: string): Queue[] {
    return [...(this.#destinations.get(to)?.queues.values() ?? [])]
  }

  isFull(to: string): boolean {
    const most = this.#destinations.get(to)?.most ?? 0
    return this.queues(to).some(({ entries }) => entries.size >= most)
  }

  apply(change: Change): void {
    const { to } = change
    if (change.is === 'declared') {
      const destination = this.#destinations.get(to) ?? { queues: new Map(), most: Number.POSITIVE_INFINITY }
      this.#destinations.set(to, destination)
      const { queues } = destination
      for (const group of change.groups) if (!queues.has(group)) queues.set(group, new Queue(to, group))
    } else if (change.is === 'stored') {
      const { number, message } = change
      this.#last = number
      for (const queue of this.queues(to)) queue.put({ number, message, deliveries: 0 })
    } else if (change.is === 'delivered') {
      const entry = this.queue(to, change.group)?.entries.get(change.number)
      if (entry !== undefined) entry.deliveries++
    } else if (change.is === 'settled') this.queue(to, change.group)?.entries.delete(change.number)
    else if (change.is === 'limited') {
      const destination = this.#destinations.get(to)
      if (destination !== undefined) destination.most = change.most
    } else {
      for (const queue of this.queues(to)) queue.end()
      this.#destinations.delete(to)
    }
  }
}
