import { Fifo } from './collections.ts'

/** How many messages are moved before the host gets a turn of its own. */
const MESSAGES_PER_TURN = 256

// Taken once, when the module is loaded: a test's fake timers must not keep the broker from letting the host
// breathe. Nothing that a test could want to drive by hand waits for it.
const nextTurn: (task: () => void) => unknown = globalThis.setImmediate ?? ((task) => setTimeout(task, 0))
const soon = Promise.resolve()

/**
 * Runs one kind of the broker's work in order, after the caller's own and never from within it. Microtasks
 * alone would starve sockets and timers under load, which no real broker does, so every few hundred messages
 * the rest waits for the host's next turn. Answers and deliveries have one each, and so the same share.
 */
export class Turns {
  readonly #tasks = new Fifo<() => void>()
  #scheduled = false
  #left = MESSAGES_PER_TURN
  readonly #listeners = new Set<() => void>()

  add(task: () => void): void {
    this.#tasks.push(task)
    this.#schedule()
  }

  /** Counts messages that were moved. `false`: the task at hand should put off the rest. */
  spend(messages: number): boolean {
    this.#left -= messages
    return this.#left > 0
  }

  /** Hears of the end of each turn. Returns a function that stops it. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    if (this.#left > 0) void soon.then(this.#run)
    else nextTurn(this.#nextTurn)
  }

  #nextTurn = (): void => {
    // A call of many messages is a debt, paid over several turns.
    this.#left = Math.min(this.#left, 0) + MESSAGES_PER_TURN
    this.#run()
  }

  #run = (): void => {
    try {
      while (this.#left > 0 && this.#tasks.size > 0) this.#tasks.shift()?.()
    } finally {
      this.#scheduled = false
      if (this.#tasks.size > 0) this.#schedule()
      for (const listener of this.#listeners) listener()
    }
  }
}
