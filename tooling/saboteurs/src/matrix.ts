/** Which cases catch which saboteur. */
import { conformance, type Harness, type Result } from '@notify/conformance'
import type { Bases } from './bases.ts'
import { type Base, type Saboteur, sabotaged } from './saboteur.ts'

export interface Caught {
  readonly saboteur: string
  readonly around: Base
  /** The case that it names. */
  readonly named: string
  /** All cases that fail with it; of those that were run. */
  readonly by: readonly string[]
  readonly ran: number
}

/** Runs every case that memory can be asked against a saboteur, or the one that it names where memory cannot. */
export async function catchers(bases: Bases, saboteur: Saboteur): Promise<Caught> {
  const { name, case: named, around = 'memory' } = saboteur
  const harness = await bases.load(around)
  const whole = around === 'memory'
  const results = await runCases(harness, saboteur, (id) => whole || id === named)
  return {
    saboteur: name,
    around,
    named,
    by: results.filter(({ status }) => status === 'fail').map(({ id }) => id),
    ran: results.filter(({ status }) => status === 'fail' || status === 'pass').length,
  }
}

/** What the case that a saboteur names makes of it, around a driver of the caller's choice. */
export async function verdict(bases: Bases, saboteur: Saboteur, around: Base): Promise<Result> {
  const harness = await bases.load(around)
  const [result] = await runCases(harness, saboteur, (id) => id === saboteur.case)
  if (result === undefined) throw new Error(`${saboteur.name} names ${saboteur.case}, which is no case`)
  return result
}

function runCases(harness: Harness, saboteur: Saboteur, chosen: (id: string) => boolean): Promise<Result[]> {
  // The harness is the caller's, who disposes of it.
  const cases = conformance(sabotaged(() => harness, saboteur))
  return Promise.all(cases.filter(({ id }) => chosen(id)).map((each) => each.run()))
}
