import { Finder } from './finder.ts'
import type { Random } from './random.ts'

/** One way through the proxy, over all its connections: `up` to the broker, `down` to the client. */
export interface Direction {
  /** How many went through, ever. */
  readonly bytes: number
  /** Nothing goes through, the end of a connection neither, until `release`; then all of it, in order. */
  hold(): void
  release(): void
  /** How what comes from now on goes through; what is left out is as on a wire. */
  shape(shape: Shape): void
  /** Counts a byte string from now on, and tells of each time when the last byte of it is going through. */
  watch(pattern: Pattern, onPass?: (passage: Passage) => void): Watch
  /** Resolves when the byte string goes through, for the nth time from now. */
  passes(pattern: Pattern, times?: number): Promise<Passage>
  /** Resets the connection on which the nth byte from now goes through, right after that byte. */
  cutAfter(bytes: number): Promise<Passage>
  /**
   * Resets the connection on which the byte string would go through next, before the whole of it has. With the
   * broker's answer as the string, `down` eats the answer: the broker has done what it was asked, and the client
   * never hears of it.
   */
  cutBefore(pattern: Pattern): Promise<Passage>
  /** Turns over one bit, by the seed, of the nth byte from now. */
  flipBit(bytes: number): Promise<Passage>
}

export interface Shape {
  /** Every byte comes so much later. */
  readonly delayMs?: number
  /** Up to so much more, by the seed; nothing overtakes. */
  readonly jitterMs?: number
  readonly bytesPerSecond?: number
  /** Pieces of so many bytes, each written by itself. */
  readonly sliceBytes?: number
}

/** Text is latin1: `'\x00\x3c\x00\x50'` is the four bytes. */
export type Pattern = string | Uint8Array

/** Something that happened to bytes on their way. */
export interface Passage {
  /** The connection, counted from 1 as they came. */
  readonly connection: number
  /** How many bytes had gone through this direction before. */
  readonly offset: number
}

export interface Watch {
  readonly count: number
  stop(): void
}

/** What becomes of a piece: what goes on of it, and whether the connection is cut then. */
export interface Verdict {
  readonly piece: Buffer
  readonly cut: (() => void) | undefined
}

/** Looks at a piece. Gives how much of it may go on before the connection is cut, if it is to be. */
type Inspector = (piece: Buffer, connection: number) => { length: number; cut: () => void } | undefined

/** What one direction of all connections has in common. */
export class Traffic implements Direction {
  bytes = 0
  held = false
  current: Shape = {}
  readonly #random: Random
  readonly #changed: () => void
  readonly #inspectors = new Set<Inspector>()
  readonly #watchers = new Set<(piece: Buffer, connection: number) => void>()

  /** `changed`: what was waiting may go on. */
  constructor(random: Random, changed: () => void) {
    this.#random = random
    this.#changed = changed
  }

  hold(): void {
    this.held = true
  }

  release(): void {
    this.held = false
    this.#changed()
  }

  shape(shape: Shape): void {
    this.current = shape
    this.#changed()
  }

  /** How long a piece that has just come stays. */
  delay(): number {
    const { delayMs = 0, jitterMs = 0 } = this.current
    return delayMs + (jitterMs > 0 ? this.#random.next() * jitterMs : 0)
  }

  watch(pattern: Pattern, onPass?: (passage: Passage) => void): Watch {
    const find = finders(pattern)
    let count = 0
    const watcher = (piece: Buffer, connection: number): void => {
      for (const at of find(piece, connection)) {
        count++
        onPass?.({ connection, offset: this.bytes + at })
      }
    }
    this.#watchers.add(watcher)
    return {
      get count() {
        return count
      },
      stop: () => void this.#watchers.delete(watcher),
    }
  }

  passes(pattern: Pattern, times = 1): Promise<Passage> {
    return new Promise((resolve) => {
      const watch = this.watch(pattern, (passage) => {
        if (watch.count < times) return
        watch.stop()
        resolve(passage)
      })
    })
  }

  cutAfter(bytes: number): Promise<Passage> {
    return this.#once(bytes, (_piece, at) => at + 1)
  }

  flipBit(bytes: number): Promise<Passage> {
    const bit = this.#random.between(0, 7)
    return this.#once(bytes, (piece, at) => {
      piece[at] = (piece[at] as number) ^ (1 << bit)
      return undefined
    })
  }

  cutBefore(pattern: Pattern): Promise<Passage> {
    const find = finders(pattern)
    return new Promise((resolve) => {
      const inspector: Inspector = (piece, connection) => {
        const [at] = find(piece, connection)
        if (at === undefined) return undefined
        this.#inspectors.delete(inspector)
        const length = Math.max(0, at)
        const passage = { connection, offset: this.bytes + length }
        return { length, cut: () => resolve(passage) }
      }
      this.#inspectors.add(inspector)
    })
  }

  /** What becomes of a piece that is about to go on. */
  inspect(original: Buffer, connection: number): Verdict {
    let piece = original
    let cut: (() => void) | undefined
    for (const inspector of [...this.#inspectors]) {
      const found = inspector(piece, connection)
      if (found === undefined) continue
      piece = piece.subarray(0, found.length)
      cut = found.cut
    }
    for (const watcher of [...this.#watchers]) watcher(piece, connection)
    this.bytes += piece.length
    return { piece, cut }
  }

  /** `act` on the nth byte from now, at its place in the piece; gives where the piece is to end, if it is. */
  #once(bytes: number, act: (piece: Buffer, at: number) => number | undefined): Promise<Passage> {
    if (!(bytes >= 1)) throw new RangeError(`bytes: ${bytes}, expected at least 1`)
    let left = bytes
    return new Promise((resolve) => {
      const inspector: Inspector = (piece, connection) => {
        left -= piece.length
        if (left > 0) return undefined
        this.#inspectors.delete(inspector)
        const at = piece.length + left - 1
        const passage = { connection, offset: this.bytes + at }
        const length = act(piece, at)
        if (length !== undefined) return { length, cut: () => resolve(passage) }
        resolve(passage)
        return undefined
      }
      this.#inspectors.add(inspector)
    })
  }
}

/** One finder for each connection. */
function finders(pattern: Pattern): (piece: Buffer, connection: number) => number[] {
  const bytes = typeof pattern === 'string' ? Buffer.from(pattern, 'latin1') : pattern
  const all = new Map<number, Finder>()
  return (piece, connection) => {
    let finder = all.get(connection)
    if (finder === undefined) {
      finder = new Finder(bytes)
      all.set(connection, finder)
    }
    return finder.push(piece)
  }
}
