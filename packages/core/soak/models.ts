import { sum } from '../../../tooling/soak/figures.ts'
import type { SoakPromise } from '../../../tooling/soak/promise.ts'
import { runSuite } from '../../../tooling/soak/suite.ts'

const RUNS = 5_000
const TEST = 'law, bounds, order and end hold for any program'

interface Round {
  readonly seed: number
  readonly runs: number
  readonly failed: number
}

const promise: SoakPromise<Round> = {
  name: 'models',
  title: 'sender and listener hold the law, the bounds and the order of keys in any program, and it all ends',
  rounds: 20,
  async open() {
    return {
      versions: {},
      async round({ seed }) {
        const env = { NOTIFY_MODEL_RUNS: String(RUNS), NOTIFY_MODEL_SEED: String(seed) }
        const files = ['sender', 'listener'].map((side) => `packages/core/test/${side}.model.test.ts`)
        const { passed, failed } = runSuite(['--project', '@notify/core', '-t', TEST, ...files], env)
        if (passed !== files.length) throw new Error(`${passed} models ran, expected ${files.length}`)
        return { seed, runs: RUNS, failed }
      },
      close: async () => {},
    }
  },
  summary: (rounds) => ({
    programsOfSender: sum(rounds, ({ runs }) => runs),
    programsOfListener: sum(rounds, ({ runs }) => runs),
    broken: sum(rounds, ({ failed }) => failed),
  }),
}

export default promise
