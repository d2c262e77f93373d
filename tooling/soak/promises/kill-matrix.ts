import { execFile } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { conformance } from '../../../packages/conformance/src/index.ts'
import { SABOTEURS } from '../../saboteurs/src/index.ts'
import type { Caught } from '../../saboteurs/src/matrix.ts'
import type { Saboteur } from '../../saboteurs/src/saboteur.ts'
import type { SoakPromise } from '../promise.ts'

interface Round {
  readonly caught: readonly Caught[]
}

const JUDGE = fileURLToPath(new URL('../../saboteurs/src/judge.ts', import.meta.url))
/** Most of a judge's time is spent waiting. */
const AT_ONCE = 2 * availableParallelism()
const PER_ROUND = 4 * AT_ONCE

/** Some saboteurs a round, against all cases around memory; where their case needs more, against that one. */
const promise: SoakPromise<Round> = {
  name: 'kill-matrix',
  title:
    'every case of the conformance suite catches a saboteur, and every saboteur is caught by the case it names',
  rounds: Math.ceil(SABOTEURS.length / PER_ROUND),
  async open() {
    return {
      versions: {},
      async round({ index }) {
        const waiting = SABOTEURS.slice(index * PER_ROUND, (index + 1) * PER_ROUND)
        const caught: Caught[] = []
        const judges = Array.from({ length: AT_ONCE }, async () => {
          for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
            caught.push(await judge(next))
          }
        })
        await Promise.all(judges)
        const escaped = caught.filter(({ by, named }) => !by.includes(named))
        if (escaped.length === 0) return { caught }
        throw new Error(
          escaped.map(({ saboteur, named }) => `${named} does not catch ${saboteur}`).join('; '),
        )
      },
      async close() {},
    }
  },
  summary(rounds) {
    const all = rounds.flatMap(({ caught }) => caught)
    const cases = conformance(() => Promise.reject())
    const catching = new Set(all.flatMap(({ by }) => by))
    return {
      saboteurs: all.length,
      caughtByTheirCase: all.filter(({ by, named }) => by.includes(named)).length,
      cases: cases.length,
      catchingOne: cases.filter(({ id }) => catching.has(id)).length,
      caughtByOneCaseAlone: all.filter(({ around, by }) => around === 'memory' && by.length === 1).length,
    }
  },
  detail: (rounds) =>
    rounds
      .flatMap(({ caught }) => caught)
      .map(({ saboteur, around, named, by }) => ({ saboteur, around, named, by: by.join(' ') })),
}

async function judge({ name }: Saboteur): Promise<Caught> {
  const { stdout } = await promisify(execFile)(process.execPath, [JUDGE, name], { maxBuffer: 2 ** 24 })
  return JSON.parse(stdout) as Caught
}

export default promise
