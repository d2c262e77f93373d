/** The drivers that saboteurs are put around, each with one harness for all of a run. */
import type { Harness, Load } from '@notify/conformance'
import memory from '../../../packages/memory/test/harness.ts'
import rabbit from '../../../packages/rabbit/test/harness.ts'
import template from '../../template/test/harness.ts'
import type { Base } from './saboteur.ts'

const leased: Load = async () => ({ ...(await memory()), leaseMs: 60 })
const LOADS: Readonly<Record<Base, Load>> = { memory, leased, template, rabbit }

export class Bases {
  readonly #loaded = new Map<Base, Promise<Harness>>()

  /** Loaded with the first call. */
  load(base: Base): Promise<Harness> {
    let harness = this.#loaded.get(base)
    if (harness === undefined) {
      harness = (async () => LOADS[base]())()
      this.#loaded.set(base, harness)
    }
    return harness
  }

  async dispose(): Promise<void> {
    for (const harness of this.#loaded.values()) await (await harness.catch(() => undefined))?.dispose?.()
    this.#loaded.clear()
  }
}
