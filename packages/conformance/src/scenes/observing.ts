import type { Driver, Status } from '@notify/core'
import { AT_ONCE_MS, type Trial } from '../trial.ts'

/** What one listener was told. */
export class Observing {
  readonly states: Status['state'][] = []
  #stop: () => void = () => {}

  /** Begins to listen, in a case that needs `observe`. */
  static async begin(trial: Trial, driver: Driver): Promise<Observing> {
    const observing = new Observing()
    const listen = (): (() => void) | undefined =>
      driver.observe?.((status) => {
        trial.log.add(`told that it is ${status?.state}`)
        observing.states.push(status?.state)
      })
    const stop = await trial.ends(listen, AT_ONCE_MS, 'observe returns at once')
    trial.check(typeof stop === 'function', 'observe gives what stops it')
    observing.#stop = stop as () => void
    return observing
  }

  stop(): void {
    this.#stop()
  }

  /** Whether it was told so, after the first `from` things that it was told. */
  heard(state: Status['state'], from = 0): boolean {
    return this.states.slice(from).includes(state)
  }
}
