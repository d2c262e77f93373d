import { start } from '@notify/brokers'
import { spread, sum } from '../../../tooling/soak/figures.ts'
import type { SoakPromise } from '../../../tooling/soak/promise.ts'
import { type EmitKillFigures, killUnderNotifier } from '../test/rounds/emits.ts'
import { type KillFigures, killUnderDriver } from '../test/rounds/kill.ts'

type Round = ({ readonly by: 'driver' } & KillFigures) | ({ readonly by: 'notifier' } & EmitKillFigures)

/** The driver alone and a whole notifier take turns. */
const promise: SoakPromise<Round> = {
  name: 'rabbit-kills',
  title: 'RabbitMQ killed at a confirm: nothing confirmed is lost, everything else ends, and it flows again',
  rounds: 40,
  async open() {
    const broker = await start('rabbit')
    return {
      versions: { RabbitMQ: broker.version },
      async round({ index, seed }) {
        if (index % 2 === 0) return { by: 'driver', ...(await killUnderDriver(broker, seed)) }
        return { by: 'notifier', ...(await killUnderNotifier(broker, seed)) }
      },
      close: () => broker.stop(),
    }
  },
  summary(rounds) {
    const drivers = rounds.filter(({ by }) => by === 'driver')
    const notifiers = rounds.filter((round) => round.by === 'notifier')
    return {
      kills: rounds.length,
      underNotifier: notifiers.length,
      unsettledAtKillMin: Math.min(...rounds.map(({ unsettled }) => unsettled)),
      confirmed: sum(rounds, ({ confirmed }) => confirmed),
      lost: sum(rounds, ({ lost }) => lost),
      failedDriver: sum(drivers, ({ failed }) => failed),
      failedEmits: sum(notifiers, ({ failed }) => failed),
      sentAgain: sum(notifiers, ({ sentAgain }) => sentAgain),
      duplicates: sum(rounds, ({ duplicates }) => duplicates),
      ...spread(
        'driverRecoveryMs',
        drivers.map(({ recoveryMs }) => recoveryMs),
      ),
      ...spread(
        'notifierRecoveryMs',
        notifiers.map(({ recoveryMs }) => recoveryMs),
      ),
    }
  },
}

export default promise
