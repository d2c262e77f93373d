/**
 * Ratios that hold on a noisy machine: contenders take turns within one run, and what is reported is the median
 * of the ratios of each round, with its quartiles. Absolute figures are printed for orientation alone.
 */

/** Runs for about `ms` milliseconds and says how many operations it made. */
export type Slice = (ms: number) => Promise<number>

/** A slice, and what has to be done before each of its turns, off the clock. */
export interface Contender {
  before(): Promise<void>
  readonly run: Slice
}

export interface Ratio {
  readonly median: number
  readonly lower: number
  readonly upper: number
}

/** What an operation cost in one turn, in nanoseconds: of time, and of this process on the processor. */
export interface Cost {
  readonly time: number
  readonly processor: number
}

/** Time per operation of each contender, in nanoseconds, round by round. */
export async function takeTurns<Name extends string>(
  contenders: Record<Name, Slice>,
  options: { readonly rounds: number; readonly ms: number },
): Promise<Record<Name, number[]>> {
  const costs = await meterTurns(contenders, options)
  const names = Object.keys(contenders) as Name[]
  return Object.fromEntries(names.map((name) => [name, times(costs[name])])) as Record<Name, number[]>
}

/** Both costs of an operation of each contender, round by round. */
export async function meterTurns<Name extends string>(
  contenders: Record<Name, Slice | Contender>,
  { rounds, ms }: { readonly rounds: number; readonly ms: number },
): Promise<Record<Name, Cost[]>> {
  const names = Object.keys(contenders) as Name[]
  const costs = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Cost[]>
  for (const name of names) await meter(contenders[name], ms)
  for (let round = 0; round < rounds; round++) {
    // Whoever goes first finds the machine as the others left it: the order turns too.
    const order = names.map((_, index) => names[(index + round) % names.length] as Name)
    for (const name of order) costs[name].push(await meter(contenders[name], ms))
  }
  return costs
}

async function meter(contender: Slice | Contender, ms: number): Promise<Cost> {
  if (typeof contender !== 'function') await contender.before()
  const run = typeof contender === 'function' ? contender : contender.run
  const processor = process.cpuUsage()
  const start = performance.now()
  const operations = await run(ms)
  const time = ((performance.now() - start) * 1e6) / operations
  const { user, system } = process.cpuUsage(processor)
  return { time, processor: ((user + system) * 1e3) / operations }
}

export const times = (costs: readonly Cost[]): number[] => costs.map(({ time }) => time)

export const processor = (costs: readonly Cost[]): number[] => costs.map(({ processor }) => processor)

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

/** The fastest setting of a contender; the first, where that is not slower by more than 5 %. */
export async function bestOf(
  settings: readonly number[],
  make: (setting: number) => Slice | Contender,
): Promise<number> {
  const contenders = Object.fromEntries(settings.map((setting) => [setting, make(setting)]))
  const costs = await meterTurns(contenders, { rounds: 3, ms: 700 })
  const medians = settings.map((setting) => quartiles(times(costs[setting] as Cost[])).median)
  const [first, least] = [medians[0] as number, Math.min(...medians)]
  return settings[first <= 1.05 * least ? 0 : medians.indexOf(least)] as number
}

/** Is told that one operation has ended; with an error, the whole measurement is void. */
export type Done = (error?: unknown) => void

/**
 * Keeps `window` operations under way until the time is up, and ends when the last has. `prepare` gets what each
 * has to call at its end, and gives what begins one.
 */
export function inFlight(window: number, prepare: (done: Done) => () => void): Slice {
  return (ms) =>
    new Promise((resolve, reject) => {
      const until = performance.now() + ms
      let operations = 0
      let open = window
      const begin = prepare((error) => {
        if (error !== undefined && error !== null) return reject(error)
        operations++
        if (performance.now() < until) begin()
        else if (--open === 0) resolve(operations)
      })
      for (let i = 0; i < window; i++) begin()
    })
}
