import type { Broker } from '@notify/brokers'
import { type Place, placeAt } from '../support.ts'

/** A quorum queue that is younger may lose all it holds with its broker. */
export const OLD_ENOUGH_MS = 2_500

/** What was to be broken did not break as it should have: the round says nothing about the promise. */
export class Unproven extends Error {
  override readonly name = 'Unproven'
}

/** Collects all that a round finds wrong, so that one run tells all of it. */
export class Verdict {
  readonly #wrong: string[] = []

  /** None of these may be. */
  none(what: string, found: Iterable<unknown>): void {
    const all = [...found]
    if (all.length > 0) this.#wrong.push(`${all.length} ${what}: ${all.slice(0, 5).map(show).join(', ')}`)
  }

  hold(what: string, holds: boolean): void {
    if (!holds) this.#wrong.push(what)
  }

  /** @throws with everything that was wrong. */
  end(seed: number): void {
    if (this.#wrong.length > 0) throw new Error(`seed ${seed}: ${this.#wrong.join('; ')}`)
  }
}

/** A round with a place of its own on the broker, which is cleared whatever comes of it. */
export async function inPlace<T>(
  broker: Pick<Broker, 'url'>,
  round: (place: Place, defer: (task: () => Promise<void>) => void) => Promise<T>,
): Promise<T> {
  const tasks: (() => Promise<void>)[] = []
  const defer = (task: () => Promise<void>): void => void tasks.push(task)
  try {
    return await round(placeAt({ onTestFinished: defer }, broker), defer)
  } finally {
    for (const task of tasks.reverse()) await task()
  }
}

/** What comes again: each time but the first. */
export function repeated(ids: readonly string[]): string[] {
  const seen = new Set<string>()
  return ids.filter((id) => seen.size === seen.add(id).size)
}

function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}
