const KEPT = 20

/** The last events of a driver, worded only when somebody wants to read them. */
export class Log {
  readonly #start = performance.now()
  #entries: { readonly ms: number; readonly what: string | (() => string) }[] = []

  add(what: string | (() => string)): void {
    this.#entries.push({ ms: performance.now() - this.#start, what })
    if (this.#entries.length > 2 * KEPT) this.#entries = this.#entries.slice(-KEPT)
  }

  /** The newest last, each with its time since the case began. */
  get lines(): string[] {
    return this.#entries
      .slice(-KEPT)
      .map(({ ms, what }) => `${ms.toFixed(0).padStart(6)} ms  ${typeof what === 'string' ? what : what()}`)
  }
}
