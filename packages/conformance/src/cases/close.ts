/** What close settles, and what it leaves: nothing. */
import type { Driver } from '@notify/core'
import type { Call } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import { Child } from '../process/children.ts'
import { exercise } from '../process/exercise.ts'
import { Residue } from '../process/residue.ts'
import { Unhandled } from '../process/unhandled.ts'
import { nobody } from '../scenes/nobody.ts'
import { storm } from '../scenes/storm.ts'
import { inFlight, sendTogether } from '../scenes/together.ts'
import { ABORTED, AT_ONCE_MS, type Trial } from '../trial.ts'
import { firesAfter } from '../wait.ts'
import { CONNECTING } from './connecting.ts'

export const CLOSE: readonly Definition[] = [
  {
    id: 'CLS-01',
    title:
      'MUST settle what is pending at close when its signal fires at the latest, and confirm none falsely',
    needs: [],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      await closeWhileAnswered(trial, 'at-once', async () => {})
      await closeWhileAnswered(trial, 'amid', (calls) =>
        trial.until(() => calls.some((call) => call.open.length < call.batch.length), 'answers come'),
      )
      await closeInSilence(trial)
    },
  },
  CONNECTING,
  {
    id: 'CLS-03',
    title: 'MUST leave no socket, timer or listener after close: the process ends by itself',
    needs: [],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      await leavesNothing(trial)
      await endsByItself(trial)
    },
  },
  {
    id: 'CLS-04',
    title: 'MUST leave nothing unhandled in a storm of publishes, aborts and closes',
    needs: [],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      const proxy = trial.harness.broker.address === undefined ? undefined : await trial.proxy()
      const orders = await trial.destination()
      using unhandled = new Unhandled()
      for (let round = 0; round < STORMS && unhandled.errors.length === 0; round++) {
        const through = proxy !== undefined && round % 2 === 1
        const driver = await trial.open(through ? { address: proxy.address } : {})
        await storm(trial, driver, orders, () => proxy?.cut())
      }
      await trial.quiet()
      const [error] = unhandled.errors
      trial.check(unhandled.errors.length === 0, 'nothing is left unhandled', String(error))
    },
  },
  {
    id: 'CLS-05',
    title: 'MUST leave a connection open that the user passed in',
    needs: ['borrow'],
    budgetMs: 60_000,
    async prove(trial) {
      for (const signal of [firesAfter(CLOSE_MS), AbortSignal.abort(ABORTED)])
        await closeBorrowed(trial, signal)
    },
  },
]

const STORMS = 24
const IN_FLIGHT = 1_000
/** How long a close that nobody answers is given. */
const CLOSE_MS = 500
/** How long what was closed may still be there. */
const LEFT_MS = 1_000
const LOADS_MS = 30_000

/** Answers are under way, and close waits for them or does not: nothing is promised but the truth. */
async function closeWhileAnswered(
  trial: Trial,
  hint: string,
  begin: (calls: readonly Call[]) => Promise<void>,
): Promise<void> {
  const driver = await trial.open()
  const orders = await trial.destination(hint)
  await trial.confirm(driver, [trial.message(orders)])
  const calls = sendTogether(trial, driver, trial.messages(orders, inFlight(trial, IN_FLIGHT)))
  await begin(calls)
  await trial.close(driver)
  const rule = 'what is pending at close is settled when it has ended'
  await trial.ends(() => Promise.all(calls.map((call) => call.settled)), AT_ONCE_MS, rule)
  await toldTheTruth(trial, calls)
}

/** Nobody answers: when its signal fires, close settles what is pending, and ends. */
async function closeInSilence(trial: Trial): Promise<void> {
  const silence = await silenceFor(trial)
  if (silence === undefined) return
  const driver = await silence.open()
  const orders = await trial.destination('silent')
  await trial.confirm(driver, [trial.message(orders)])
  await silence.begin()
  const calls = sendTogether(trial, driver, trial.messages(orders, inFlight(trial, IN_FLIGHT)))
  await trial.quiet()
  const call = { timeoutMs: CLOSE_MS, signal: firesAfter(CLOSE_MS) }
  const closing = (async () => driver.close(call))()
  closing.catch(() => {})
  const settled = 'what is pending when it closes is settled once the signal has fired'
  await trial.ends(() => Promise.all(calls.map((each) => each.settled)), CLOSE_MS + AT_ONCE_MS, settled)
  await trial.ends(() => closing, CLOSE_MS + AT_ONCE_MS, 'close ends when its signal fires')
  const confirmed = calls.flatMap((each) => each.confirmed)
  const rule = 'nothing is confirmed that the broker has not answered'
  trial.check(confirmed.length === 0, rule, `${confirmed.length} were`)
  await silence.end()
  await toldTheTruth(trial, calls)
}

interface Silence {
  open(): Promise<Driver>
  /** The broker may take what it is sent, and answers nothing. */
  begin(): Promise<void>
  end(): Promise<void>
}

/** Answers that are held on the wire, where there is one; else a broker that is paused, where it can be. */
async function silenceFor(trial: Trial): Promise<Silence | undefined> {
  const { broker, faults } = trial.harness
  if (broker.address !== undefined) {
    const proxy = await trial.proxy()
    return {
      open: () => trial.open({ address: proxy.address }),
      begin: async () => proxy.down.hold(),
      end: async () => proxy.down.release(),
    }
  }
  if (faults?.pause === undefined || faults.resume === undefined) return undefined
  trial.after(() => trial.fault('resume'))
  return {
    open: () => trial.open(),
    begin: () => trial.fault('pause'),
    end: () => trial.fault('resume'),
  }
}

/** What was confirmed is stored, and what was not sent is not. */
async function toldTheTruth(trial: Trial, calls: readonly Call[]): Promise<void> {
  const codes = ['CLOSED', 'UNAVAILABLE', 'ABORTED', 'DEADLINE']
  for (const call of calls) {
    for (const outcome of call.outcomes) {
      if (typeof outcome !== 'object') continue
      trial.check(codes.includes(outcome.code), 'what close gives up fails with the reason', outcome.code)
    }
  }
  const [first] = calls
  if (!trial.canSee || first?.batch[0] === undefined) return
  await trial.quiet()
  const confirmed = calls.reduce((sum, call) => sum + call.confirmed.length, 0)
  const stored = await trial.storedIds(first.batch[0].destination, confirmed + 1)
  truthful(trial.claims, calls, stored, 'closed with messages pending')
}

/** In this process: what drivers have begun grows no further with each that is closed. */
async function leavesNothing(trial: Trial): Promise<void> {
  const { harness } = trial
  const destinations = [await trial.destination('one'), await trial.destination('other')] as const
  const dead = harness.broker.address === undefined ? undefined : await nobody(trial)
  const residue = new Residue()
  const round = async (): Promise<void> => {
    await exercise(harness, destinations)
    if (dead !== undefined) await exercise(harness, destinations, { address: dead })
  }
  await residue.watch(async () => {
    // What is made once for all drivers is not counted: it is there after the first.
    await residue.during(round)
    const once = (await residue.left(0, LEFT_MS)).length
    for (let more = 0; more < 2; more++) await residue.during(round)
    const left = await residue.left(once, LEFT_MS)
    const rule = 'a driver that is closed leaves no socket, timer or listener'
    trial.check(left.length <= once, rule, `after 3 rounds ${left.length}: ${left.slice(0, 10).join(', ')}`)
  })
}

/** In a process of its own. */
async function endsByItself(trial: Trial): Promise<void> {
  const { url } = trial.harness
  const { host, port } = await nobody(trial)
  const { topic } = await trial.destination('child')
  await using child = new Child([url, topic, host, String(port)])
  if (!(await child.says('loaded', LOADS_MS))) {
    throw new Error(`a child process cannot load ${url}: ${await child.story()}`)
  }
  const works = await child.says('closed', LOADS_MS)
  trial.check(works, 'in a process of its own a driver works and closes', works ? '' : await child.story())
  const ends = await child.ends(LEFT_MS)
  trial.check(ends, `after close the process ends by itself within ${LEFT_MS} ms`)
  trial.check(child.isWell, 'the process ends without an error', child.isWell ? '' : await child.story())
}

async function closeBorrowed(trial: Trial, signal: AbortSignal): Promise<void> {
  const orders = await trial.destination()
  const borrowed = await trial.harness.borrow?.()
  if (borrowed === undefined) throw new Error(`${trial.id} must need borrow`)
  const { driver, isOpen } = borrowed
  trial.adopt(driver)
  if (!(await isOpen())) throw new Error('borrow: the connection is not open')
  await trial.confirm(driver, [trial.message(orders)])
  if (trial.subscribes) await trial.subscribe(driver, orders, { onDelivery: () => {}, prefetch: 1 })
  const calls = sendTogether(trial, driver, trial.messages(orders, 20), { most: 5 })
  const close = () => driver.close({ timeoutMs: CLOSE_MS, signal })
  await trial.ends(close, CLOSE_MS + AT_ONCE_MS, 'close ends when its signal fires')
  for (const call of calls)
    await trial.ends(() => call.settled, AT_ONCE_MS, 'what is pending at close is settled')
  const rule = 'a connection that was passed in is open after close'
  trial.check(await isOpen(), rule)
  await trial.ends(close, CLOSE_MS + AT_ONCE_MS, 'a second close resolves')
  await trial.quiet()
  trial.check(await isOpen(), rule, 'it was closed later')
  if (trial.harness.read === undefined) return
  const reader = await trial.reader(orders)
  await trial.until(
    async () => (await reader.consumers()) === 0,
    'close leaves no consumer on that connection',
  )
}
