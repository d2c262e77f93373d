/**
 * Ratios that hold on a noisy machine: contenders take turns within one run, and what is reported is the median
 * of the ratios of each round, with its quartiles. Absolute figures are printed for orientation alone.
 */

/** Runs for about `ms` milliseconds and says how many operations it made. */
export type Slice = (ms: number) => Promise<number>

export interface Ratio {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** Time per operation of each contender, in nanoseconds, round by round. */
export async function takeTurns<Name extends string>(
  contenders: Record<Name, Slice>,
  { rounds, ms }: { readonly rounds: number; readonly ms: number },
): Promise<Record<Name, number[]>> {
  const names = Object.keys(contenders) as Name[]
  const costs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, number[]>
  for (const name of names) await contenders[name](ms)
  for (let round = 0; round < rounds; round++) {
    // Whoever goes first finds the machine as the others left it: the order turns too.
    const order = names.map((_, index) => names[(index + round) % names.length] as Name)
    for (const name of order) {
      const start = performance.now()
      const operations = await contenders[name](ms)
      costs[name].push(((performance.now() - start) * 1e6) / operations)
    }
  }
  return costs
}

/** The cost of one over the cost of the other. */
export function ratio(cost: readonly number[], of: readonly number[]): Ratio {
  return quartiles(cost.map((value, round) => value / (of[round] as number)))
}

export function quartiles(values: readonly number[]): Ratio {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] as number
  return { median: at(0.5), lower: at(0.25), upper: at(0.75) }
}

/** Repeats blocks of `size` operations until the time is up. */
export function inBlocks(size: number, block: (size: number) => void | Promise<void>): Slice {
  return async (ms) => {
    const until = performance.now() + ms
    let operations = 0
    do {
      const pending = block(size)
      if (pending !== undefined) await pending
      operations += size
    } while (performance.now() < until)
    return operations
  }
}
