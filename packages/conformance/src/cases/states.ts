/** What a driver tells of its connection. */
import type { Destination, Driver, Status } from '@notify/core'
import type { Call } from '../call.ts'
import type { Definition } from '../case.ts'
import { Link } from '../scenes/link.ts'
import { Observing } from '../scenes/observing.ts'
import type { Trial } from '../trial.ts'
import { until } from '../wait.ts'

const ROUNDS = 2
const OTHER = 'the other listener is told all the same'

export const STATES: readonly Definition[] = [
  {
    id: 'STA-01',
    title: 'MUST tell through observe that it is down after a loss, and up when that is over',
    needs: ['observe', 'cut'],
    budgetMs: 40_000,
    exclusive: true,
    async prove(trial) {
      const link = await Link.open(trial)
      const { proxy } = link
      const driver = await link.open()
      const orders = await trial.destination()
      const [first, second] = [await Observing.begin(trial, driver), await Observing.begin(trial, driver)]
      await trial.confirm(driver, [trial.message(orders)])
      for (const { states } of [first, second]) {
        trial.check(states.every(isUp), 'while all is well no other state is told', states.join(', '))
      }

      for (let round = 0; round < ROUNDS; round++) {
        const told = [first, second].map((each) => ({ each, from: each.states.length }))
        const all = (state: Status['state']) => () => told.every(({ each, from }) => each.heard(state, from))
        await proxy?.refuse()
        await link.cut()
        // One that keeps no connection while it has nothing to say hears of the loss when it has.
        if (!(await until(all('down'), trial.times.quietMs)))
          await trial.publish(driver, [trial.message(orders)])
        await trial.until(all('down'), 'each listener is told that it is down after a loss')
        if (proxy !== undefined) {
          await toldAtOnce(trial, driver, 'down')
          trial.check(!all('up')(), 'nothing is up while nobody can be reached')
          await proxy.accept()
        }
        await link.back(driver, orders)
        await trial.until(all('up'), 'each listener is told that it is up when a loss is over')
        await isOver(trial, driver, told)
      }
      await stoppedHearsNothing(trial, [first, second], async () => {
        await link.cut()
        await link.back(driver, orders)
      })
    },
  },
  {
    id: 'STA-02',
    title: "MUST tell through observe that it is blocked during the broker's alarm, and up when that is over",
    needs: ['observe', 'faults.block', 'faults.unblock'],
    budgetMs: 40_000,
    exclusive: true,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const [first, second] = [await Observing.begin(trial, driver), await Observing.begin(trial, driver)]
      await trial.confirm(driver, [trial.message(orders)])
      let isBlocked = false
      const unblock = async (): Promise<void> => {
        if (isBlocked) await trial.fault('unblock')
        isBlocked = false
      }
      trial.after(unblock)

      for (let round = 0; round < ROUNDS; round++) {
        const told = [first, second].map((each) => ({ each, from: each.states.length }))
        const all = (state: Status['state']) => () => told.every(({ each, from }) => each.heard(state, from))
        isBlocked = true
        await trial.fault('block')
        const rule = "each listener is told that it is blocked during the broker's alarm"
        const call = await publishUntil(trial, driver, orders, all('blocked'), rule)
        await toldAtOnce(trial, driver, 'blocked')
        const { ok } = await trial.health(driver)
        trial.claims.equal(ok, false, 'while it is blocked, health is not ok')
        trial.check(!all('up')(), 'nothing is up while the alarm lasts')
        await unblock()
        await trial.until(all('up'), 'each listener is told that it is up when an alarm is over')
        await isOver(trial, driver, told)
        await trial.settled(call)
        const after = await trial.publish(driver, [trial.message(orders)])
        trial.confirmed(after, 'after an alarm publishing goes on')
      }
      await stoppedHearsNothing(trial, [first, second], async () => {
        isBlocked = true
        await trial.fault('block')
        const isTold = (): boolean => second.states.at(-1) === 'blocked'
        const call = await publishUntil(trial, driver, orders, isTold, OTHER)
        await unblock()
        await trial.settled(call)
      })
    },
  },
]

/**
 * A broker may say that it is blocked to those alone who publish, and not at once: each time when all is settled,
 * there is one message more. Gives the last call.
 */
async function publishUntil(
  trial: Trial,
  driver: Driver,
  orders: Destination,
  isTold: () => boolean,
  rule: string,
): Promise<Call> {
  let call = trial.send(driver, [trial.message(orders)])
  const looks = (): boolean => {
    if (isTold()) return true
    if (call.open.length === 0) call = trial.send(driver, [trial.message(orders)])
    return false
  }
  await trial.until(looks, rule)
  return call
}

/** A listener that comes late has missed nothing that still holds. */
async function toldAtOnce(trial: Trial, driver: Driver, state: Status['state']): Promise<void> {
  const late = await Observing.begin(trial, driver)
  const rule = `a new listener is told at once that it is ${state}`
  await trial.until(() => late.states.length > 0, rule, trial.times.quietMs)
  trial.claims.equal(late.states[0], state, rule)
  late.stop()
}

/** The last that everybody was told is that it is up, and whoever comes now hears nothing else. */
async function isOver(
  trial: Trial,
  driver: Driver,
  told: readonly { readonly each: Observing }[],
): Promise<void> {
  for (const { each } of told) {
    trial.claims.equal(each.states.at(-1), 'up', 'when it is over, up is the last that is told')
    trial.check(each.states.every(isState), 'there are three states', each.states.join(', '))
  }
  const late = await Observing.begin(trial, driver)
  trial.check(late.states.every(isUp), 'a new listener is not told what is over', late.states.join(', '))
  late.stop()
}

async function stoppedHearsNothing(
  trial: Trial,
  [stopped, other]: readonly [Observing, Observing],
  trouble: () => Promise<void>,
): Promise<void> {
  stopped.stop()
  const before = stopped.states.length
  const heard = other.states.length
  await trouble()
  await trial.until(() => other.states.length > heard, OTHER)
  trial.claims.equal(stopped.states.length, before, 'a listener that was stopped is told nothing')
}

function isUp(state: Status['state']): boolean {
  return state === 'up'
}

function isState(state: Status['state']): boolean {
  return ['up', 'down', 'blocked'].includes(state)
}
