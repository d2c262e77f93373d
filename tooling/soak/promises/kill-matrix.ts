import { conformance } from '../../../packages/conformance/src/index.ts'
import { Bases } from '../../saboteurs/src/bases.ts'
import { SABOTEURS } from '../../saboteurs/src/index.ts'
import { type Caught, catchers } from '../../saboteurs/src/matrix.ts'
import type { Saboteur } from '../../saboteurs/src/saboteur.ts'
import type { SoakPromise } from '../promise.ts'

/** One saboteur a round, against all cases around memory; where its case needs more, against that one. */
const promise: SoakPromise<Caught> = {
  name: 'kill-matrix',
  title:
    'every case of the conformance suite catches a saboteur, and every saboteur is caught by the case it names',
  rounds: SABOTEURS.length,
  async open() {
    const bases = new Bases()
    return {
      versions: {},
      async round({ index }) {
        const caught = await catchers(bases, SABOTEURS[index] as Saboteur)
        if (caught.by.includes(caught.named)) return caught
        throw new Error(`${caught.named} does not catch ${caught.saboteur}, around ${caught.around}`)
      },
      close: () => bases.dispose(),
    }
  },
  summary(rounds) {
    const cases = conformance(() => Promise.reject())
    const catching = new Set(rounds.flatMap(({ by }) => by))
    return {
      saboteurs: rounds.length,
      caughtByTheirCase: rounds.filter(({ by, named }) => by.includes(named)).length,
      cases: cases.length,
      catchingOne: cases.filter(({ id }) => catching.has(id)).length,
      caughtByOneCaseAlone: rounds.filter(({ around, by }) => around === 'memory' && by.length === 1).length,
    }
  },
  detail: (rounds) =>
    rounds.map(({ saboteur, around, named, by }) => ({ saboteur, around, named, by: by.join(' ') })),
}

export default promise
