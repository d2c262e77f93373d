/** An array with a head that moves: taking the first of a million costs what taking the only one does. */
export class Fifo<T> {
  #items: (T | undefined)[] = []
  #head = 0

  get size(): number {
    return this.#items.length - this.#head
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    if (this.size === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head++] = undefined
    if (this.#head > 1_024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return item
  }

  *[Symbol.iterator](): Iterator<T> {
    for (let index = this.#head; index < this.#items.length; index++) yield this.#items[index] as T
  }
}

/** A binary heap: the first by `before` is `items[0]`. */
export class Heap<T> {
  readonly items: T[] = []
  readonly #before: (a: T, b: T) => boolean

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before
  }

  push(item: T): void {
    const { items } = this
    let index = items.length
    items.push(item)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.#before(item, items[parent] as T)) break
      items[index] = items[parent] as T
      index = parent
    }
    items[index] = item
  }

  pop(): T | undefined {
    const { items } = this
    const first = items[0]
    const item = items.pop()
    if (items.length === 0 || item === undefined) return first
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= items.length) break
      if (child + 1 < items.length && this.#before(items[child + 1] as T, items[child] as T)) child++
      if (!this.#before(items[child] as T, item)) break
      items[index] = items[child] as T
      index = child
    }
    items[index] = item
    return first
  }
}

/** The newest of what was pushed, within a count and a number of bytes. */
export class Recent<T extends { readonly size: number }> {
  readonly #items = new Fifo<T>()
  readonly #count: number
  readonly #maxBytes: number
  #bytes = 0

  constructor(count: number, maxBytes: number) {
    this.#count = count
    this.#maxBytes = maxBytes
  }

  push(item: T): void {
    this.#items.push(item)
    this.#bytes += item.size
    while (this.#items.size > this.#count || this.#bytes > this.#maxBytes) {
      this.#bytes -= this.#items.shift()?.size ?? 0
    }
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#items[Symbol.iterator]()
  }
}

/**
 * Which ids were seen within a window. Two generations, of which the older one is dropped as a whole: a map
 * that loses its first entries one by one gets slow to read from the start.
 */
export class Seen {
  readonly #windowMs: number
  #young = new Map<string, number>()
  #old = new Map<string, number>()
  #since = 0

  constructor(windowMs: number) {
    this.#windowMs = windowMs
  }

  has(id: string): boolean {
    if (this.#windowMs === 0) return false
    const at = this.#young.get(id) ?? this.#old.get(id)
    return at !== undefined && performance.now() - at < this.#windowMs
  }

  add(id: string): void {
    if (this.#windowMs === 0) return
    const now = performance.now()
    if (now - this.#since >= this.#windowMs) {
      this.#old = now - this.#since < 2 * this.#windowMs ? this.#young : new Map()
      this.#young = new Map()
      this.#since = now
    }
    this.#young.set(id, now)
  }
}
