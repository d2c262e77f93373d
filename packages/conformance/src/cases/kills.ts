/** What is left when the broker dies. */
import type { Destination, Driver, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import { mostInFlight, Pressure } from '../scenes/pressure.ts'
import type { Trial } from '../trial.ts'
import { atMost } from '../wait.ts'

const ROUNDS = 2
/** At least so much must be unsettled for a kill to say anything, where the driver's window holds as much. */
const UNSETTLED = 500
/** Between which confirms the broker dies. Where each call waits for its answer, the later ones are far away. */
const CONFIRMS = { first: 200, last: 20_000, lastOfCalls: 5_000 }
const A_MINUTE = 60_000
const AN_INSTANT = 1_000

export const KILLS: readonly Definition[] = [
  {
    id: 'CNF-01',
    title: 'MUST confirm only what the broker has: killed at a confirm, it still has everything confirmed',
    needs: ['stored', 'faults.kill', 'faults.start', 'broker'],
    budgetMs: 240_000,
    exclusive: true,
    async prove(trial) {
      const driver = await trial.open()
      const rounds: Destination[] = []
      for (let round = 0; round < ROUNDS; round++) {
        const orders = await trial.destination(`round-${round}`)
        await trial.confirm(driver, [trial.message(orders)])
        rounds.push(orders)
      }
      await trial.age(rounds[0] as Destination)
      // The same driver goes on: what it does right at first it must do after a reconnect as well.
      for (const orders of rounds) {
        const shot = await killAtAConfirm(trial, driver, orders)
        await trial.fault('start')
        await judge(trial, orders, shot)
      }
    },
  },
  {
    id: 'CNF-05',
    title: 'MUST be true to `confirms`: what is with the broker survives the broker without this process',
    needs: ['stored', 'faults.kill', 'faults.start'],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const { confirms } = trial.capabilities
      if (confirms !== 'broker') {
        await keptWhileAllIsWell(trial, driver, orders)
        return
      }
      await trial.confirm(driver, [trial.message(orders)])
      await trial.age(orders)
      const shot = await killAtAConfirm(trial, driver, orders)
      // With the driver goes what it may have kept to send it again: there is no broker that it could send it to.
      await trial.close(driver)
      await trial.fault('start')
      await judge(trial, orders, shot)
    },
  },
]

interface Shot {
  readonly pressure: Pressure
  /** The confirm at which the broker was killed. */
  readonly at: number
  /** How many were handed over and not settled then. */
  readonly unsettled: number
}

/** Kills the broker from within a settle, as many in flight as core would have, and waits until all is settled. */
async function killAtAConfirm(trial: Trial, driver: Driver, orders: Destination): Promise<Shot> {
  const { calls } = trial.capabilities.window
  const at = trial.random.between(CONFIRMS.first, calls === undefined ? CONFIRMS.last : CONFIRMS.lastOfCalls)
  let confirmed = 0
  let unsettled = 0
  let dead: Promise<unknown> | undefined
  const { promise: killed, resolve: kill } = Promise.withResolvers<void>()
  const pressure = new Pressure(trial, driver, {
    next: () => someOf(trial, orders),
    timeoutMs: A_MINUTE / 2,
    onSettle(_message, outcome) {
      if (outcome !== 'confirmed' || ++confirmed !== at) return
      unsettled = pressure.unsettled
      dead = trial.fault('kill')
      pressure.stop()
      kill()
    },
  })
  const shot = await atMost(A_MINUTE, killed)
  pressure.stop()
  trial.check(shot !== undefined, 'publishing goes on', `${confirmed} of ${at} were confirmed in a minute`)
  if ((await atMost(AN_INSTANT, dead as Promise<unknown>)) === undefined) {
    throw new Error('faults.kill: the process has not ended within a second')
  }
  for (const call of pressure.calls) await trial.settled(call, A_MINUTE / 2 + AN_INSTANT)
  return { pressure, at, unsettled }
}

/** Calls and bodies of all sizes: what is true of small ones must be true of large ones. */
function someOf(trial: Trial, orders: Destination): OutboundMessage[] {
  const { random, capabilities } = trial
  const most = Math.min(capabilities.maxBatch, Math.max(1, Math.floor(mostInFlight(trial) / 8)))
  const count = random.next() < 0.3 ? 1 : random.between(1, most)
  return trial.messages(orders, count, () => {
    const chance = random.next()
    const size = chance < 0.002 ? 200_000 : chance < 0.02 ? 10_000 : 100
    return {
      size: Math.min(
        size,
        Math.floor(capabilities.maxBatchBytes / (2 * count)),
        capabilities.maxMessageBytes,
      ),
    }
  })
}

async function judge(trial: Trial, orders: Destination, { pressure, at, unsettled }: Shot): Promise<void> {
  const confirmed = pressure.calls.flatMap((call) => call.confirmed)
  const stored = await trial.storedIds(orders, new Set(idsOf(confirmed)).size + 1)
  truthful(trial.claims, pressure.calls, stored, `killed at confirm ${at}`)
  const least = Math.min(UNSETTLED, Math.floor(mostInFlight(trial) / 3))
  if (unsettled < least) {
    throw new Error(`killed with ${unsettled} unsettled, which proves nothing: at least ${least} are needed`)
  }
}

/** What a driver promises that vouches for this process alone, or for nobody. */
async function keptWhileAllIsWell(trial: Trial, driver: Driver, orders: Destination): Promise<void> {
  const messages = trial.messages(orders, 100)
  const calls = await trial.publishAll(driver, messages)
  const promised = trial.capabilities.confirms === 'process' ? messages : []
  const stored = await trial.storedIds(orders, promised.length)
  truthful(trial.claims, promised.length > 0 ? calls : [], stored, 'while nothing fails')
}
