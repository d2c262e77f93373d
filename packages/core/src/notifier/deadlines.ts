import type { Emit } from './emission.ts'

/**
 * Open emits, the one whose deadline comes first at the top. A binary heap that knows each emit's place: deadlines
 * mostly come in order, which costs one comparison, and an emit that ends early is taken out at once.
 */
export class Deadlines {
  readonly #heap: Emit[] = []

  get size(): number {
    return this.#heap.length
  }

  get first(): Emit | undefined {
    return this.#heap[0]
  }

  add(emit: Emit): void {
    this.#up(emit, this.#heap.length)
  }

  remove(emit: Emit): void {
    const last = this.#heap.pop() as Emit
    if (last === emit) return
    const { place } = emit
    const parent = this.#heap[(place - 1) >> 1]
    if (place > 0 && parent !== undefined && last.deadline < parent.deadline) this.#up(last, place)
    else this.#down(last, place)
  }

  #put(emit: Emit, place: number): void {
    this.#heap[place] = emit
    emit.place = place
  }

  #up(emit: Emit, from: number): void {
    let place = from
    while (place > 0) {
      const parent = this.#heap[(place - 1) >> 1] as Emit
      if (parent.deadline <= emit.deadline) break
      this.#put(parent, place)
      place = (place - 1) >> 1
    }
    this.#put(emit, place)
  }

  #down(emit: Emit, from: number): void {
    const { length } = this.#heap
    let place = from
    for (let child = 2 * place + 1; child < length; child = 2 * place + 1) {
      const right = this.#heap[child + 1]
      if (right !== undefined && right.deadline < (this.#heap[child] as Emit).deadline) child++
      const next = this.#heap[child] as Emit
      if (emit.deadline <= next.deadline) break
      this.#put(next, place)
      place = child
    }
    this.#put(emit, place)
  }
}
