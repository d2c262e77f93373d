import { conformance, type Load, type Suite } from '../../packages/conformance/src/index.ts'
import { loadProcessors } from './load.ts'
import type { SoakPromise, Summary } from './promise.ts'

export interface Repeat {
  readonly passed: number
  readonly withoutKills: boolean
  readonly ms: number
}

/** The whole suite again and again, each time with another seed, while others want the processors as well. */
export function repeated(setting: {
  readonly name: string
  readonly title: string
  readonly rounds: number
  readonly load: Load
  /** In so many of the rounds the broker is killed as well. Default: in all. */
  readonly kills?: number
}): SoakPromise<Repeat> {
  const { name, title, rounds, load, kills = rounds } = setting
  return {
    name,
    title,
    rounds,
    async open() {
      const harness = await load()
      const idle = loadProcessors()
      return {
        versions: { [harness.broker.name]: await harness.broker.version() },
        async round({ index, seed }) {
          const withoutKills = index >= kills
          return {
            ...(await runOnce(
              conformance(() => harness, { seed }),
              withoutKills,
            )),
            withoutKills,
          }
        },
        async close() {
          idle()
          await harness.dispose?.()
        },
      }
    },
    summary: (all): Summary => ({
      runs: all.length,
      withKills: all.filter((round) => !round.withoutKills).length,
      passed: all.reduce((sum, { passed }) => sum + passed, 0),
      failed: 0,
    }),
  }
}

async function runOnce(cases: Suite, withoutKills: boolean): Promise<{ passed: number; ms: number }> {
  const start = performance.now()
  const broken: string[] = []
  let passed = 0
  for (const each of cases) {
    if (withoutKills && each.needs.includes('faults.kill')) continue
    const { id, status, reason, log } = await each.run()
    if (status === 'pass') passed++
    if (status === 'fail' || status === 'error')
      broken.push([`${id} ${status}: ${reason}`, ...log].join('\n  '))
  }
  if (broken.length > 0) throw new Error(`seed ${cases.seed}\n${broken.join('\n')}`)
  return { passed, ms: Math.round(performance.now() - start) }
}
