const EVENTS = ['unhandledRejection', 'uncaughtException'] as const

/** Hears of every error that nobody handles, in place of all others who listen for that, until it is disposed of. */
export class Unhandled implements Disposable {
  readonly errors: unknown[] = []
  readonly #before = EVENTS.map((event) => ({ event, listeners: process.rawListeners(event) }))
  readonly #listener = (error: unknown): void => void this.errors.push(error)

  constructor() {
    for (const event of EVENTS) {
      process.removeAllListeners(event)
      process.on(event, this.#listener)
    }
  }

  [Symbol.dispose](): void {
    for (const { event, listeners } of this.#before) {
      process.off(event, this.#listener)
      for (const listener of listeners) process.on(event, listener as (error: unknown) => void)
    }
  }
}
