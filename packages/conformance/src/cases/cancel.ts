/** Signals that end what is being published. */
import type { Driver, Failure, OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import type { Outcome } from '../claims.ts'
import { listenersOf } from '../process/listeners.ts'
import { Sightings } from '../scenes/sightings.ts'
import { inFlight, sendTogether } from '../scenes/together.ts'
import { ABORTED, AT_ONCE_MS, type Trial } from '../trial.ts'
import { DEADLINE, until } from '../wait.ts'

export const CANCEL: readonly Definition[] = [
  {
    id: 'CAN-01',
    title: 'MUST settle with the reason of a signal that has fired already, and send nothing',
    needs: [],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const refused: OutboundMessage[] = []
      const healthy: OutboundMessage[] = []
      // The first time it is not connected yet, and then it is.
      for (let round = 0; round < 2; round++) {
        for (const reason of REASONS) {
          const batch = trial.messages(orders, batchOf(trial))
          refused.push(...batch)
          const call = trial.send(driver, batch, { signal: AbortSignal.abort(reason) })
          await trial.settled(call, AT_ONCE_MS)
          for (const outcome of call.outcomes) {
            const expected = { ...fieldsOf(reason), maybeSent: false }
            trial.claims.failed(outcome, expected, 'a signal that has fired settles with its reason')
          }
        }
        const batch = trial.messages(orders, batchOf(trial))
        const late = trial.message(orders)
        healthy.push(...batch)
        refused.push(late)
        const calls = [
          trial.send(driver, batch),
          trial.send(driver, [late], { signal: AbortSignal.abort(ABORTED) }),
        ] as const
        for (const call of calls) await trial.settled(call)
        trial.confirmed(calls[0], 'a signal concerns no other call')
        const rule = 'a signal that has fired settles with its reason, also beside another call'
        trial.claims.failed(calls[1].outcome(0), { ...fieldsOf(ABORTED), maybeSent: false }, rule)
      }
      if (!trial.canSee) return
      await trial.quiet()
      const stored = await trial.storedIds(orders, healthy.length)
      trial.claims.excludes(stored, idsOf(refused), 'what came with a signal that has fired is not sent')
      trial.claims.sameIds(stored, idsOf(healthy), 'what came without one is sent, once')
    },
  },
  {
    id: 'CAN-02',
    title: 'MUST settle what is open when its signal fires, at once, and tell truly whether it was sent',
    needs: [],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      await abortsWhenever(trial)
      if (trial.harness.broker.address !== undefined) await abortsUnanswered(trial, await held(trial))
      if (trial.harness.faults?.pause !== undefined) await abortsUnanswered(trial, await paused(trial))
    },
  },
  {
    id: 'ABT-01',
    title: 'MUST settle at once what is aborted while there is no connection, and not send it afterwards',
    needs: ['address'],
    budgetMs: 60_000,
    async prove(trial) {
      const proxy = await trial.proxy()
      const driver = await trial.open({ address: proxy.address })
      const orders = await trial.destination()
      const first = trial.message(orders)
      await trial.confirm(driver, [first])
      const healthy = [first]
      const lost: OutboundMessage[] = []
      for (const trouble of ['silence', 'refusal'] as const) {
        if (trouble === 'silence') proxy.blackHole()
        else await proxy.refuse()
        proxy.cut()
        // It is to know that it has no connection.
        await trial.quiet()
        lost.push(...(await abortsDisconnected(trial, driver, trial.messages(orders, batchOf(trial)))))
        if (trouble === 'silence') proxy.heal()
        else await proxy.accept()
        proxy.cut()
        healthy.push(await confirmAgain(trial, driver, () => trial.message(orders)))
        // What a driver still has to send, it sends now.
        await trial.quiet()
      }
      if (!trial.canSee) return
      const stored = await trial.storedIds(orders, healthy.length)
      trial.claims.excludes(stored, idsOf(lost), 'what was aborted without a connection is not sent later')
      trial.claims.includes(stored, idsOf(healthy), 'what was confirmed then is there')
    },
  },
  {
    id: 'ABT-02',
    title: 'MUST leave no listener on a signal, once what it was for is over',
    needs: [],
    budgetMs: 60_000,
    prove: leavesNoListener,
  },
]

const CLOSED: Failure = Object.freeze({
  code: 'CLOSED',
  reason: 'closed',
  retryable: false,
  maybeSent: false,
  scope: 'message',
})
/** Why a signal fires. */
const REASONS: readonly Failure[] = [ABORTED, DEADLINE, CLOSED]

function fieldsOf({ code, reason, retryable }: Failure): Partial<Failure> {
  return { code, ...(reason === undefined ? {} : { reason }), retryable }
}

function batchOf({ capabilities: { maxBatch, maxBatchBytes } }: Trial): number {
  return Math.max(1, Math.min(20, maxBatch, Math.floor(maxBatchBytes / 500)))
}

/** At any moment: what was confirmed is stored, and what was not sent is not. */
async function abortsWhenever(trial: Trial): Promise<void> {
  const driver = await trial.open()
  const orders = await trial.destination('whenever')
  const calls: Call[] = []
  for (const moment of ['the same turn', 'the next turn', 'the first outcome', 'half of the outcomes']) {
    const batch = trial.messages(orders, batchOf(trial))
    const controller = new AbortController()
    let settled = 0
    const least = { 'the first outcome': 1, 'half of the outcomes': Math.ceil(batch.length / 2) }[moment]
    const call = trial.send(driver, batch, {
      signal: controller.signal,
      onSettle: () => {
        if (++settled === least) controller.abort(ABORTED)
      },
    })
    calls.push(call)
    if (moment === 'the next turn') await undefined
    if (least === undefined) controller.abort(ABORTED)
    else await trial.until(() => settled >= least, 'each message of a call is settled')
    await trial.settled(call, AT_ONCE_MS)
    for (const outcome of call.outcomes) {
      if (outcome === 'confirmed') continue
      trial.claims.failed(outcome, fieldsOf(ABORTED), `aborted in ${moment}, it is settled with the reason`)
    }
  }
  calls.push(await trial.publish(driver, [trial.message(orders)]))
  trial.confirmed(calls.at(-1) as Call, 'a driver goes on after a call was aborted')
  if (!trial.canSee) return
  await trial.quiet()
  const confirmed = calls.flatMap((call) => call.confirmed)
  truthful(trial.claims, calls, await trial.storedIds(orders, confirmed.length), 'aborted at any moment')
}

/** A driver whose broker can be made to keep its answers to itself. */
interface Held {
  readonly name: string
  readonly driver: Driver
  hold(): Promise<void>
  /** Gives what is known to be written of these messages by now. */
  written(): Promise<readonly OutboundMessage[]>
  watch(messages: readonly OutboundMessage[]): void
  release(): Promise<void>
}

async function held(trial: Trial): Promise<Held> {
  const proxy = await trial.proxy()
  let sightings: Sightings | undefined
  return {
    name: 'held',
    driver: await trial.open({ address: proxy.address }),
    hold: async () => proxy.down.hold(),
    watch(messages) {
      sightings = new Sightings(proxy.up, messages)
    },
    written: async () => (await sightings?.gone(trial.times.deliverMs)) ?? [],
    release: async () => proxy.down.release(),
  }
}

async function paused(trial: Trial): Promise<Held> {
  let isPaused = false
  const release = async (): Promise<void> => {
    if (isPaused) await trial.fault('resume')
    isPaused = false
  }
  trial.after(release)
  return {
    name: 'paused',
    driver: await trial.open(),
    async hold() {
      isPaused = true
      await trial.fault('pause')
    },
    watch() {},
    async written() {
      await trial.quiet()
      return []
    },
    release,
  }
}

async function abortsUnanswered(trial: Trial, broker: Held): Promise<void> {
  const { claims } = trial
  const { driver } = broker
  const orders = await trial.destination(broker.name)
  const first = await trial.publish(driver, [trial.message(orders)])
  trial.confirmed(first)
  const { calls: most = 3 } = trial.capabilities.window
  const batches = [trial.messages(orders, batchOf(trial)), ...(most < 3 ? [] : [trial.messages(orders, 1)])]
  const spared = trial.messages(orders, batchOf(trial))
  await broker.hold()
  broker.watch(batches.flat())
  const controller = new AbortController()
  const ended = batches.map((batch) => trial.send(driver, batch, { signal: controller.signal }))
  const other = most > 1 ? trial.send(driver, spared) : undefined
  const written = new Set(await broker.written())
  const early = ended.flatMap((call) => call.confirmed).length
  claims.equal(early, 0, 'nothing is confirmed that the broker has not answered')

  controller.abort(ABORTED)
  await Promise.all(ended.map((call) => trial.settled(call, AT_ONCE_MS)))
  const rule = 'when its signal fires, what has no answer is settled with the reason'
  for (const call of ended) {
    for (const message of call.batch) {
      const outcome = claims.failed(call.outcome(message), fieldsOf(ABORTED), rule)
      if (written.has(message)) claims.equal(outcome.maybeSent, true, 'what was written may have been sent')
    }
  }
  if (other !== undefined) {
    claims.equal(other.open.length, spared.length, 'a signal ends the calls that it was given to alone')
  }

  await broker.release()
  if (other !== undefined) {
    await trial.settled(other)
    trial.confirmed(other, 'a call goes on after another one was aborted')
  }
  const last = await trial.publish(driver, [trial.message(orders)])
  trial.confirmed(last, 'a driver goes on after a call was aborted')
  if (!trial.canSee) return
  await trial.quiet()
  const calls = [first, ...ended, ...(other === undefined ? [] : [other]), last]
  const stored = await trial.storedIds(orders, calls.flatMap((each) => each.confirmed).length)
  truthful(claims, calls, stored, 'aborted without an answer')
}

async function abortsDisconnected(
  trial: Trial,
  driver: Driver,
  batch: readonly OutboundMessage[],
): Promise<readonly OutboundMessage[]> {
  const controller = new AbortController()
  const call = trial.send(driver, batch, { signal: controller.signal })
  await trial.quiet()
  const { open } = call
  controller.abort(ABORTED)
  await trial.settled(call, AT_ONCE_MS)
  for (const message of batch) {
    const expected = open.includes(message) ? fieldsOf(ABORTED) : {}
    const rule = 'what is aborted without a connection is settled with the reason'
    trial.claims.failed(call.outcome(message), expected, rule)
  }
  return batch
}

/** Publishes until one is confirmed, as core does: each attempt may find the connection gone. */
async function confirmAgain(
  trial: Trial,
  driver: Driver,
  make: () => OutboundMessage,
): Promise<OutboundMessage> {
  let confirmed: OutboundMessage | undefined
  let last: Outcome | undefined
  await until(async () => {
    const message = make()
    const call = await trial.publish(driver, [message])
    last = call.outcome(0)
    if (last === 'confirmed') confirmed = message
    return confirmed !== undefined
  }, trial.times.deliverMs)
  if (confirmed === undefined) {
    trial.claims.failed(last, { code: 'UNAVAILABLE' }, 'without a connection it says so')
  }
  return trial.claims.found(confirmed, 'when there is a connection again, publishing goes on')
}

async function leavesNoListener(trial: Trial): Promise<void> {
  const driver = await trial.open()
  const orders = await trial.destination()
  const controller = new AbortController()
  const { signal } = controller
  const none = async (what: string): Promise<void> => {
    await until(() => listenersOf(signal) === 0, trial.times.quietMs)
    trial.claims.equal(listenersOf(signal), 0, `no listener is left on the signal of ${what}`)
  }
  // As many calls as a driver can take in a few seconds.
  for (let left = 10_000; left > 0 && trial.elapsedMs < 5_000; ) {
    const some = trial.messages(orders, inFlight(trial, Math.min(left, 1_000)))
    left -= some.length
    const calls = sendTogether(trial, driver, some, { most: 1, signal })
    for (const call of calls) if (call.open.length > 0) await trial.settled(call)
    for (const call of calls) trial.confirmed(call)
  }
  await none('calls that were confirmed')
  const many = (call: () => Promise<unknown>): Promise<unknown> =>
    Promise.all(Array.from({ length: 50 }, call))
  const healthy = (): OutboundMessage[] => trial.messages(orders, batchOf(trial))
  const bad = (): OutboundMessage => trial.message(orders, { headers: { bad: 'a\nb' } })
  await many(() => trial.publish(driver, [bad()], { signal }))
  await none('calls that failed')
  if (trial.capabilities.maxBatch > 1) {
    await many(() => trial.publish(driver, [...healthy().slice(1), bad()], { signal }))
    await none('calls of which a part failed')
  }
  await trial.close(driver)
  await many(() => trial.publish(driver, healthy(), { signal }))
  await none('calls to a driver that was closed')
  // What fires now finds nothing to settle.
  controller.abort(ABORTED)
  await trial.quiet()
}
