import type { Driver } from '@notify/core'
import type { Case, Definition, Result, Status } from './case.ts'
import { DEFINITIONS } from './cases/index.ts'
import { Violation } from './claims.ts'
import type { Load } from './harness.ts'
import { missing, Session } from './session.ts'
import type { Times } from './times.ts'
import { Trial } from './trial.ts'
import { atMost } from './wait.ts'

/** How cases are made. */
export interface ConformanceOptions {
  /** For all that is left to chance. Default: another one each time; the report has it. */
  readonly seed?: number
}

/** What is known of a run beside its results. */
export interface Facts {
  readonly seed: number
  readonly driver: { readonly package: string; readonly version: string; readonly name: string }
  readonly broker: { readonly name: string; readonly version: string }
  readonly capabilities: Driver['capabilities']
  /** How quick driver and broker were found to be, and what was waited for that. */
  readonly times: Times
}

/** All cases for one harness. */
export interface Suite extends ReadonlyArray<Case>, AsyncDisposable {
  readonly seed: number
  /** Loads the harness. */
  facts(): Promise<Facts>
}

/**
 * The cases of the suite, for one harness. Nothing happens until the first case runs, which loads it. After the last
 * one the suite is disposed of, and with it the harness.
 *
 * @example
 * await using cases = conformance(load)
 * for (const each of cases) console.log(each.id, (await each.run()).status)
 */
export function conformance(load: Load, options: ConformanceOptions = {}): Suite {
  const seed = options.seed ?? Math.floor(Math.random() * 2 ** 31)
  const session = new Session(load, seed)
  const cases = DEFINITIONS.map((definition) => toCase(definition, session))
  return Object.assign(cases, {
    seed,
    facts: () => factsOf(session),
    [Symbol.asyncDispose]: () => session.dispose(),
  })
}

export function toCase(definition: Definition, session: Session): Case {
  const { id, title, needs, budgetMs, exclusive = false } = definition
  return {
    id,
    title,
    needs,
    budgetMs,
    exclusive,
    run: (signal) => session.queue(exclusive, () => run(definition, session, signal)),
  }
}

async function run(definition: Definition, session: Session, signal?: AbortSignal): Promise<Result> {
  const { id, needs, budgetMs } = definition
  const start = performance.now()
  let trial: Trial | undefined
  const result = (status: Status, reason?: string): Result => ({
    id,
    status,
    ms: Math.round(performance.now() - start),
    assertions: trial?.claims.count ?? 0,
    ...(reason === undefined ? {} : { reason }),
    ...(trial?.evidence === undefined ? {} : { evidence: trial.evidence }),
    log: trial?.log.lines ?? [],
  })
  if (signal?.aborted === true) return result('skipped', 'not chosen')
  try {
    const harness = await session.harness()
    const parts = await session.parts()
    const without = missing(needs, harness, parts)
    if (without !== undefined) return result(without.status, without.reason)
    trial = new Trial({
      id,
      harness,
      parts,
      times: await session.times(),
      seed: session.seedOf(id),
      run: session.run(),
    })
    const proof = definition.prove(trial).then(() => 'proved' as const)
    // What comes after the end of its time is nobody's any more.
    proof.catch(() => {})
    const ended = await atMost(budgetMs, Promise.race([proof, given(signal)]))
    if (ended === undefined) return result('fail', `it ends within ${budgetMs} ms: it did not`)
    if (ended.value === 'given up') return result('skipped', 'given up')
    trial.finish()
    if (trial.claims.count === 0) return result('error', 'the case passed without a claim')
    if (needs.includes('stored') && harness.read !== undefined && trial.evidence !== 'observed') {
      return result('error', 'the case passed without a look at what the broker holds')
    }
    return result('pass')
  } catch (error) {
    if (error instanceof Violation) return result('fail', error.message)
    return result('error', error instanceof Error ? (error.stack ?? error.message) : String(error))
  } finally {
    await trial?.dispose()
  }
}

/** Resolves when the signal fires. */
function given(signal: AbortSignal | undefined): Promise<'given up'> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) resolve('given up')
    signal?.addEventListener('abort', () => resolve('given up'))
  })
}

async function factsOf(session: Session): Promise<Facts> {
  const { driver, broker } = await session.harness()
  const { name, capabilities } = await session.parts()
  return {
    seed: session.seed,
    driver: { ...driver, name },
    broker: { name: broker.name, version: await broker.version() },
    capabilities,
    times: await session.times(),
  }
}
