import { start } from '@notify/brokers'
import { spread, sum } from '../../../tooling/soak/figures.ts'
import type { SoakPromise } from '../../../tooling/soak/promise.ts'
import { killOneNode, type NodeKillFigures } from '../test/rounds/node.ts'

const promise: SoakPromise<NodeKillFigures> = {
  name: 'rabbit-cluster',
  title:
    'one node of three killed at a confirm: nothing confirmed is lost, and the driver goes on through another',
  rounds: 5,
  async open() {
    const broker = await start('rabbit', { nodes: 3 })
    return {
      versions: { RabbitMQ: broker.version },
      round: ({ seed }) => killOneNode(broker, seed),
      close: () => broker.stop(),
    }
  },
  summary: (rounds) => ({
    kills: rounds.length,
    unsettledAtKillMin: Math.min(...rounds.map(({ unsettled }) => unsettled)),
    confirmed: sum(rounds, ({ confirmed }) => confirmed),
    lost: sum(rounds, ({ lost }) => lost),
    failed: sum(rounds, ({ failed }) => failed),
    duplicates: sum(rounds, ({ duplicates }) => duplicates),
    ...spread(
      'takeoverMs',
      rounds.map(({ takeoverMs }) => takeoverMs),
    ),
  }),
}

export default promise
