import { start } from '@notify/brokers'
import { spread, sum } from '../../../tooling/soak/figures.ts'
import type { SoakPromise } from '../../../tooling/soak/promise.ts'
import { type CutsFigures, surviveCuts } from '../test/rounds/cuts.ts'

const CUTS = 10

const promise: SoakPromise<CutsFigures> = {
  name: 'rabbit-cuts',
  title:
    'RabbitMQ cut off at random bytes: nothing is lost, one consumer a queue is left, and then no socket',
  rounds: 20,
  async open() {
    const broker = await start('rabbit')
    return {
      versions: { RabbitMQ: broker.version },
      round: ({ seed }) => surviveCuts(broker, seed, CUTS),
      close: () => broker.stop(),
    }
  },
  summary: (rounds) => ({
    cuts: sum(rounds, ({ cuts }) => cuts),
    towardsBroker: sum(rounds, ({ up }) => up),
    idleNotCounted: sum(rounds, ({ idle }) => idle),
    emitted: sum(rounds, ({ emitted }) => emitted),
    lost: sum(rounds, ({ lost }) => lost),
    duplicates: sum(rounds, ({ duplicates }) => duplicates),
    ...spread(
      'healMs',
      rounds.flatMap(({ healMs }) => healMs),
    ),
  }),
}

export default promise
