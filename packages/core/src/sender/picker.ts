import type { Item } from './buffer.ts'
import type { Gate, Gates } from './gate.ts'
import type { Lane, Lanes } from './lane.ts'
import type { Window } from './window.ts'

/** What may go next, in one call. */
export interface Pick {
  readonly lane: Lane
  readonly items: readonly Item[]
  /** The gates about which it will find out. */
  readonly gates: readonly Gate[]
}

/** Decides what is handed over next: the most important first, as far as gates and the window let it. */
export class Picker {
  readonly #lanes: Lanes
  readonly #gates: Gates
  readonly #window: Window
  #turn = 0

  constructor(lanes: Lanes, gates: Gates, window: Window) {
    this.#lanes = lanes
    this.#gates = gates
    this.#window = window
  }

  next(now: number): Pick | undefined {
    return this.#gates.transport.shut ? this.#probe(now) : this.#batch(now)
  }

  #batch(now: number): Pick | undefined {
    const lanes = this.#lanes.all
    for (let from = 0, to = 0; from < lanes.length; from = to) {
      const { level } = lanes[from] as Lane
      while (lanes[to]?.level === level) to++
      const peers = to - from
      for (let tried = 0; tried < peers; tried++) {
        const lane = lanes[from + ((this.#turn + tried) % peers)] as Lane
        if (lane.waiting.size === 0 || (lane.gate.shut && !lane.gate.ready(now))) continue
        const { messages, bytes, stuck } = this.#window.room(lane, lanes)
        // It waits for the window to be empty enough, and what ranks lower waits with it.
        if (stuck && !lane.gate.shut) return undefined
        if (messages <= 0) continue
        const items = lane.gate.shut ? lane.batch(1, 0, now) : lane.batch(messages, bytes, now)
        if (items.length === 0) continue
        // Topics take turns: who went first goes last the next time.
        this.#turn = peers === 1 ? this.#turn : this.#turn + tried + 1
        return { lane, items, gates: lane.gate.shut ? [lane.gate] : [] }
      }
    }
    return undefined
  }

  #probe(now: number): Pick | undefined {
    const { transport } = this.#gates
    if (!transport.ready(now)) return undefined
    const lanes = this.#lanes.all
    // A destination that has trouble of its own is the last to ask about the whole transport.
    for (const troubled of [false, true]) {
      for (const lane of lanes) {
        const { gate } = lane
        if (gate.shut !== troubled || gate.probe !== undefined) continue
        if (this.#window.room(lane, lanes).messages <= 0) continue
        const items = lane.batch(1, 0, now)
        if (items.length > 0) return { lane, items, gates: troubled ? [transport, gate] : [transport] }
      }
    }
    return undefined
  }
}
