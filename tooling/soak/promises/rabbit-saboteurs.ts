import { Bases } from '../../saboteurs/src/bases.ts'
import { SABOTEURS } from '../../saboteurs/src/index.ts'
import { verdict } from '../../saboteurs/src/matrix.ts'
import type { Saboteur } from '../../saboteurs/src/saboteur.ts'
import type { SoakPromise } from '../promise.ts'

interface Round {
  readonly saboteur: string
  readonly case: string
  /** `fail` is what is wanted; `blocked` and `unsupported` are what RabbitMQ cannot be asked. */
  readonly status: string
}

const promise: SoakPromise<Round> = {
  name: 'rabbit-saboteurs',
  title:
    'around the RabbitMQ driver every saboteur is caught by the case it names, as far as RabbitMQ can be asked',
  rounds: SABOTEURS.length,
  async open() {
    const bases = new Bases()
    const { broker } = await bases.load('rabbit')
    return {
      versions: { RabbitMQ: await broker.version() },
      async round({ index }) {
        const saboteur = SABOTEURS[index] as Saboteur
        const { id, status, reason = '' } = await verdict(bases, saboteur, 'rabbit')
        if (status === 'pass' || status === 'error') {
          throw new Error(`${id} around rabbit does not catch ${saboteur.name}: ${status} ${reason}`)
        }
        return { saboteur: saboteur.name, case: id, status }
      },
      close: () => bases.dispose(),
    }
  },
  summary: (rounds) => ({
    saboteurs: rounds.length,
    caught: rounds.filter(({ status }) => status === 'fail').length,
    notPossibleHere: [
      ...new Set(rounds.filter(({ status }) => status !== 'fail').map((round) => round.case)),
    ].join(' '),
  }),
}

export default promise
