import type { OutboundMessage } from '@notify/core'
import type { Direction, Watch } from '../proxy/direction.ts'
import { until } from '../wait.ts'

/** With which the mark of a body ends. */
const NEWLINE = 0x0a

/** How often each of some messages goes by on a wire, from now on. A message is told by its body, in base64 as well. */
export class Sightings {
  readonly #watches: ReadonlyMap<OutboundMessage, readonly Watch[]>

  constructor(direction: Direction, messages: readonly OutboundMessage[]) {
    this.#watches = new Map(
      messages.map((message) => [message, formsOf(message).map((form) => direction.watch(form))]),
    )
  }

  count(message: OutboundMessage): number {
    return (this.#watches.get(message) ?? []).reduce((sum, { count }) => sum + count, 0)
  }

  /** Those that have gone by. */
  get seen(): OutboundMessage[] {
    return [...this.#watches.keys()].filter((message) => this.count(message) > 0)
  }

  /** The ids of what has gone by more than once. */
  get repeated(): string[] {
    return [...this.#watches.keys()].filter((message) => this.count(message) > 1).map(({ id }) => id)
  }

  /** Waits until all have gone by, or as many as are written without an answer, and gives those. */
  async gone(withinMs: number): Promise<OutboundMessage[]> {
    await until(() => this.seen.length === this.#watches.size, withinMs)
    const { seen } = this
    if (seen.length === 0)
      throw new Error('no body was recognized on the wire, neither as it is nor in base64')
    return seen
  }
}

/** What a body looks like on the wire, as far as it takes to know it. */
function formsOf({ body }: OutboundMessage): Uint8Array[] {
  const plain = body.subarray(0, body.indexOf(NEWLINE) + 1)
  // Base64 goes in threes, and what follows the mark must not show in what is looked for.
  const threes = body.subarray(0, Math.ceil(plain.length / 3) * 3)
  const base64 = Buffer.from(threes).toString('base64').replace(/=+$/, '')
  return [plain, Buffer.from(base64, 'latin1')]
}
