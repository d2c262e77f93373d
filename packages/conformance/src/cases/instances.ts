/** What holds of every driver, whatever it does with messages, and of several side by side. */
import type { Driver, OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { sendTogether } from '../scenes/together.ts'
import { ABORTED, AT_ONCE_MS, type Trial } from '../trial.ts'

export const INSTANCES: readonly Definition[] = [
  {
    id: 'NOP-01',
    title: 'MUST settle, abort, refuse and close like any other, also where it keeps nothing',
    needs: [],
    budgetMs: 40_000,
    exclusive: true,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      await settlesEach(trial, driver)
      await answersSignals(trial, driver)
      // Where nothing can be read, what befalls the broker is all that can be seen of it.
      if (!trial.canSee) await confirmsWhatIsTaken(trial, driver)
      trial.check((await trial.health(driver)).ok, 'a driver that works is well')
      const last = sendTogether(trial, driver, trial.messages(orders, 20), { most: 5 })
      await trial.close(driver)
      for (const call of last) {
        await trial.ends(() => call.settled, AT_ONCE_MS, 'what is pending at close is settled')
      }
      const late = await trial.publish(driver, [trial.message(orders)])
      trial.claims.failed(
        late.outcome(0),
        { code: 'CLOSED', maybeSent: false },
        'a closed driver takes nothing',
      )
      trial.check(!(await trial.health(driver)).ok, 'a closed driver is not well')
      await trial.close(driver)
    },
  },
  {
    id: 'CONC-01',
    title: 'MUST share no state between two instances, and bear 1,000 calls at once',
    needs: [],
    budgetMs: 60_000,
    async prove(trial) {
      const [left, right, third] = [await trial.open(), await trial.open(), await trial.open()]
      await manyCalls(trial, left, right)
      await sameMessages(trial, left, right)
      await oneEnds(trial, left, right, third)
    },
  },
]

const CALLS = 1_000

/** In one call, as far as there is room: good, bad, good. Each has its own outcome, whatever the others have. */
async function settlesEach(trial: Trial, driver: Driver): Promise<void> {
  const orders = await trial.destination('mixed')
  const good = trial.messages(orders, 3)
  const invalid = trial.message(orders, { headers: { 'no name': 'x' } })
  const control = trial.message(orders, { headers: { name: 'a\u0007b' } })
  const [first, second, third] = good as [OutboundMessage, OutboundMessage, OutboundMessage]
  for (const call of sendTogether(trial, driver, [first, invalid, second, control, third])) {
    await trial.settled(call, trial.times.deliverMs)
    for (const message of call.batch) {
      const outcome = call.outcome(message)
      if (good.includes(message)) {
        trial.claims.equal(
          typeof outcome === 'object' ? outcome.code : outcome,
          'confirmed',
          'a good message is confirmed',
        )
      } else {
        const expected = { code: 'INVALID', retryable: false, maybeSent: false, scope: 'message' } as const
        trial.claims.failed(outcome, expected, 'a message that nobody could carry is INVALID')
      }
    }
  }
}

async function answersSignals(trial: Trial, driver: Driver): Promise<void> {
  const orders = await trial.destination('aborted')
  const before = trial.send(driver, [trial.message(orders)], { signal: AbortSignal.abort(ABORTED) })
  await trial.ends(() => before.settled, AT_ONCE_MS, 'a message whose signal has fired is settled at once')
  const rule = 'a message whose signal has fired is settled with its reason'
  trial.claims.failed(before.outcome(0), { code: 'ABORTED', maybeSent: false }, rule)
  const during = sendTogether(trial, driver, trial.messages(orders, 5))
  for (const call of during) call.abort(ABORTED)
  for (const call of during) {
    await trial.ends(() => call.settled, AT_ONCE_MS, 'a message is settled at once when its signal fires')
    for (const outcome of call.outcomes) {
      const code = typeof outcome === 'object' ? outcome.code : 'ABORTED'
      trial.claims.equal(code, 'ABORTED', 'a message is settled with the reason of its signal')
    }
  }
}

/** Confirmed is what was taken: nothing while it takes nothing, and not what it refuses. */
async function confirmsWhatIsTaken(trial: Trial, driver: Driver): Promise<void> {
  const { pause, resume, refuse } = trial.harness.faults ?? {}
  const orders = await trial.destination('taken')
  if (pause !== undefined && resume !== undefined) {
    await trial.fault('pause')
    trial.after(() => trial.fault('resume'))
    const calls = sendTogether(trial, driver, trial.messages(orders, 10), { most: 5 })
    const aborted = trial.send(driver, [trial.message(orders)])
    await trial.never(
      () => calls.some((call) => call.confirmed.length > 0),
      'nothing is confirmed before it is taken',
    )
    aborted.abort(ABORTED)
    await trial.ends(() => aborted.settled, AT_ONCE_MS, 'a message is settled at once when its signal fires')
    const rule = 'a message that may have been written by then is said to be so'
    trial.claims.failed(aborted.outcome(0), { code: 'ABORTED', maybeSent: true }, rule)
    await trial.fault('resume')
    for (const call of calls) {
      await trial.settled(call)
      trial.confirmed(call, 'what is taken is confirmed')
    }
  }
  if (refuse === undefined) return
  await trial.fault('refuse', orders)
  const call = await trial.publish(driver, [trial.message(orders)])
  trial.check(call.confirmed.length === 0, 'what is refused is not confirmed')
}

/** A thousand calls on each of two drivers, by turns, before any answer. */
async function manyCalls(trial: Trial, left: Driver, right: Driver): Promise<void> {
  const sides = [
    { driver: left, destination: await trial.destination('left') },
    { driver: right, destination: await trial.destination('right') },
  ].map((side) => ({ ...side, messages: trial.messages(side.destination, CALLS), calls: [] as Call[] }))
  for (let index = 0; index < CALLS; index++) {
    for (const { driver, messages, calls } of sides)
      calls.push(trial.send(driver, messages.slice(index, index + 1)))
  }
  for (const { calls } of sides) await allConfirmed(trial, calls, `a driver bears ${CALLS} calls at once`)
  if (!trial.canSee) return
  for (const { destination, messages } of sides) {
    const stored = await trial.storedIds(destination, CALLS)
    trial.claims.sameSet(
      stored,
      idsOf(messages),
      'what one driver publishes is stored, and nothing of another one',
    )
  }
}

/** One object is handed to both, as a notifier with two drivers may do. */
async function sameMessages(trial: Trial, left: Driver, right: Driver): Promise<void> {
  const both = await trial.destination('both')
  const messages = trial.messages(both, 50)
  const calls = [left, right].map((driver) => sendTogether(trial, driver, messages, { most: 10 }))
  for (const each of calls) await allConfirmed(trial, each, 'two drivers may be handed the same messages')
}

/** One is aborted, then closed; the other one goes on. */
async function oneEnds(trial: Trial, left: Driver, right: Driver, third: Driver): Promise<void> {
  const orders = await trial.destination('going-on')
  const send = (driver: Driver) => sendTogether(trial, driver, trial.messages(orders, 200), { most: 20 })
  const [ending, going] = [send(left), send(right)]
  for (const call of ending) call.abort(ABORTED)
  await allConfirmed(trial, going, "an abort of one driver's calls does not reach another driver")
  const [pending, goingOn] = [send(left), send(right)]
  await Promise.all([
    trial.close(left),
    allConfirmed(trial, goingOn, 'close of one driver does not reach another one'),
  ])
  for (const call of [...ending, ...pending]) await trial.settled(call)
  await allConfirmed(trial, [...send(right), ...send(third)], 'a driver goes on when another one is closed')
}

async function allConfirmed(trial: Trial, calls: readonly Call[], rule: string): Promise<void> {
  for (const call of calls) {
    await trial.ends(() => call.settled, 3 * trial.times.deliverMs, rule)
    trial.confirmed(call, rule)
  }
}
