import type { CallOptions, Driver } from './driver.ts'
import { complain } from './observe.ts'

/**
 * What all copies of this package in a process have to agree on: who holds a driver, and what is pending when
 * the process exits. It hangs off the global object under well-known symbols, since a module's own state
 * would be another one in another copy.
 */
const HOLDERS = Symbol.for('@notify/core.holders')
const PENDING = Symbol.for('@notify/core.pending')

interface Shared {
  [HOLDERS]?: WeakMap<object, number>
  [PENDING]?: { readonly counts: Set<() => number>; readonly onExit: () => void }
}

/** Takes a hold of a driver, from the moment a notifier or listener was created with it. */
export function hold(driver: Driver): void {
  const shared = globalThis as Shared
  shared[HOLDERS] ??= new WeakMap()
  shared[HOLDERS].set(driver, (shared[HOLDERS].get(driver) ?? 0) + 1)
}

/** Lets go. Whoever was the last closes the driver. */
export async function release(driver: Driver, options: CallOptions): Promise<void> {
  const holders = (globalThis as Shared)[HOLDERS]
  const left = (holders?.get(driver) ?? 1) - 1
  if (left > 0) {
    holders?.set(driver, left)
    return
  }
  holders?.delete(driver)
  await driver.close(options)
}

type Listen = (event: 'exit', listener: () => void) => unknown

/** Registers what to count when the process exits. Returns a function that takes it back. */
export function countAtExit(count: () => number): () => void {
  const { process } = globalThis as { process?: { on?: Listen; off?: Listen } }
  if (typeof process?.on !== 'function') return () => {}
  const shared = globalThis as Shared
  if (shared[PENDING] === undefined) {
    const counts = new Set<() => number>()
    const onExit = () => {
      let pending = 0
      for (const each of counts) pending += each()
      if (pending > 0) {
        complain(
          `${pending} notification${pending === 1 ? ' was' : 's were'} still pending when the process exited; await notifier.close() before`,
        )
      }
    }
    shared[PENDING] = { counts, onExit }
    process.on('exit', onExit)
  }
  const { counts, onExit } = shared[PENDING]
  counts.add(count)
  return () => {
    counts.delete(count)
    if (counts.size > 0 || shared[PENDING]?.counts !== counts) return
    process.off?.('exit', onExit)
    delete shared[PENDING]
  }
}
