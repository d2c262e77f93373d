/** Finds a byte string in a stream, also where it lies across two pieces. */
export class Finder {
  readonly #pattern: Buffer
  #rest: Buffer = Buffer.alloc(0)

  constructor(pattern: Uint8Array) {
    this.#pattern = Buffer.from(pattern)
    if (this.#pattern.length === 0) throw new RangeError('an empty pattern')
  }

  /** Where in the piece each occurrence begins: before 0 for one that began in the pieces before. */
  push(piece: Buffer): number[] {
    const { length } = this.#pattern
    const before = this.#rest.length
    const bytes = before === 0 ? piece : Buffer.concat([this.#rest, piece])
    const found: number[] = []
    let next = 0
    for (let at = bytes.indexOf(this.#pattern); at >= 0; at = bytes.indexOf(this.#pattern, next)) {
      found.push(at - before)
      next = at + length
    }
    this.#rest = Buffer.from(bytes.subarray(Math.max(next, bytes.length - length + 1)))
    return found
  }
}
