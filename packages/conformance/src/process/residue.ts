import { AsyncLocalStorage, createHook } from 'node:async_hooks'
import { until } from '../wait.ts'

/** What keeps something going, a process or at least a socket, until somebody ends it. */
const KINDS: ReadonlySet<string> = new Set([
  'Timeout',
  'TCPWRAP',
  'TLSWRAP',
  'PIPEWRAP',
  'UDPWRAP',
  'PROCESSWRAP',
  'WORKER',
  'FSEVENTWRAP',
  'SIGNALWRAP',
  'MESSAGEPORT',
])

/**
 * What some work has begun and not ended: timers, those that keep no process alive included, sockets, listeners on
 * the process. What others do at the same time is not counted.
 */
export class Residue {
  readonly #open = new Map<number, string>()
  readonly #context = new AsyncLocalStorage<Residue>()
  readonly #listeners = listeners()

  /** Does the work, and notes what it begins, now and later. */
  async during(work: () => Promise<void>): Promise<void> {
    await this.#context.run(this, work)
  }

  /** Notes until `work` has ended, whatever it does itself. */
  async watch<T>(work: () => Promise<T>): Promise<T> {
    const hook = createHook({
      init: (id, kind) => {
        if (KINDS.has(kind) && this.#context.getStore() === this) this.#open.set(id, kind)
      },
      destroy: (id) => void this.#open.delete(id),
    }).enable()
    try {
      return await work()
    } finally {
      hook.disable()
    }
  }

  /** What is open, once it is no more than `base`, or after `ms`. */
  async left(base: number, ms: number): Promise<readonly string[]> {
    await until(() => this.#now().length <= base, ms)
    return this.#now()
  }

  #now(): string[] {
    const more = [...listeners()].flatMap(([event, count]) =>
      Array.from(
        { length: Math.max(0, count - (this.#listeners.get(event) ?? 0)) },
        () => `listener for ${event}`,
      ),
    )
    return [...this.#open.values(), ...more]
  }
}

/** How many listen to the process, by event. */
function listeners(): Map<string, number> {
  return new Map(process.eventNames().map((event) => [String(event), process.listenerCount(event as string)]))
}
