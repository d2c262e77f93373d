import type { Result } from './case.ts'
import { conformance } from './conformance.ts'
import type { Load } from './harness.ts'
import { type Report, report } from './report.ts'

/** What is used of a test's context: node:test and vitest both have it. */
interface Context {
  skip(reason?: string): void
}

/** The functions of a test runner. */
export interface Runner {
  describe(name: string, body: () => void): unknown
  test(name: string, options: { timeout: number }, body: (context: Context) => Promise<void>): unknown
  /** vitest's. */
  afterAll?(task: () => Promise<void>): unknown
  /** node:test's, for the same: after all cases the harness is disposed of. */
  after?(task: () => Promise<void>): unknown
}

export interface RegisterOptions {
  /** For all that is left to chance. Default: `NOTIFY_CONFORMANCE_SEED`, else another one each time. */
  readonly seed?: number
  /** Called with each result. */
  readonly onResult?: (result: Result) => void
  /** Called after the last case, where the runner has an `afterAll` or `after`. What it throws fails the run. */
  readonly onReport?: (report: Report) => void
}

/**
 * Registers each case as a test. What is `unsupported` or `blocked` is skipped, with the reason.
 *
 * @example
 * register({ describe, test, afterAll })(load)
 */
export function register(runner: Runner): (load: Load, options?: RegisterOptions) => void {
  return (load, options = {}) => {
    const given = process.env.NOTIFY_CONFORMANCE_SEED
    const seed = options.seed ?? (given === undefined ? undefined : Number(given))
    const cases = conformance(load, seed === undefined ? {} : { seed })
    const results: Result[] = []
    runner.describe(`conformance (seed ${cases.seed})`, () => {
      for (const each of cases) {
        // The suite's own bound is to speak first. The harness is started within the first one.
        runner.test(`${each.id} ${each.title}`, { timeout: each.budgetMs + 120_000 }, async (context) => {
          const result = await each.run()
          results.push(result)
          options.onResult?.(result)
          const { status, reason, log } = result
          if (status === 'pass') return
          if (status === 'fail' || status === 'error') throw new Error(describe(result, log))
          context.skip(`${status}: ${reason}`)
        })
      }
      const after = runner.afterAll ?? runner.after
      after?.(async () => {
        await using _ = cases
        if (results.length > 0) options.onReport?.(report(cases, results, await cases.facts()))
      })
    })
  }
}

function describe({ id, status, reason }: Result, log: readonly string[]): string {
  const head = `${id} ${status === 'error' ? 'could not be run' : 'is broken'}. ${reason}`
  return [head, ...(log.length === 0 ? [] : ["The driver's last events:", ...log])].join('\n')
}
