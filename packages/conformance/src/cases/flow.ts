/** How a subscription holds back, pauses and closes. */
import type { Delivery } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { remains } from '../checks/remains.ts'
import type { Inbox } from '../inbox.ts'
import { flood } from '../scenes/flood.ts'
import { Settling } from '../scenes/settling.ts'
import { ABORTED, AT_ONCE_MS, PATIENCE_MS, type Trial } from '../trial.ts'

export const FLOW: readonly Definition[] = [
  {
    id: 'CAN-03',
    title: 'MUST close a subscription at once under a signal that has fired, and lose nothing',
    needs: ['subscribe'],
    budgetMs: 30_000,
    async prove(trial) {
      for (const what of ['subscription', 'paused subscription', 'driver'] as const) {
        await closesAtOnce(trial, what)
      }
    },
  },
  {
    id: 'CAN-05',
    title: 'MUST deliver nothing after pause has resolved, settle what is open, and bring back the rest',
    needs: ['subscribe'],
    budgetMs: 60_000,
    async prove(trial) {
      await pausesWithSome(trial)
      await pausesInTheFlow(trial)
    },
  },
  {
    id: 'FLO-01',
    title: 'MUST take no more than prefetch of what waits, and leave the rest to others',
    needs: ['subscribe'],
    budgetMs: 120_000,
    async prove(trial) {
      const { claims } = trial
      const orders = await trial.destination()
      const sent = trial.messages(orders, WAITING)
      await flood(trial, await trial.open(), sent)
      const ids = idsOf(sent)
      const greedy = await trial.subscribe(await trial.open(), orders, {
        prefetch: PREFETCH,
        onDelivery: () => {},
      })
      await trial.has(greedy, 1)
      await trial.quiet()
      const within = (): void =>
        trial.check(
          greedy.deliveries.length <= PREFETCH,
          'however much waits, no more than prefetch is delivered',
          `${greedy.deliveries.length} were, with a prefetch of ${PREFETCH}`,
        )
      within()
      if (trial.capabilities.sharing === 'message') {
        const other = await trial.subscribe(await trial.open(), orders, { prefetch: 500 })
        await trial.has(other, ids.length - PREFETCH, 'what one member does not hold, another one gets')
        await trial.quiet()
        within()
        const rest = ids.filter((id) => !greedy.ids.includes(id))
        claims.sameIds(other.ids, rest, 'what one member does not hold, another one gets, once')
        await trial.unsubscribe(other)
      }
      const settling = new Settling(trial)
      for (const delivery of greedy.deliveries.slice(0, 10)) settling.ack(delivery)
      await settling.all(true, 'ack of an open delivery answers true')
      const acked = greedy.ids.slice(0, 10)
      await trial.unsubscribe(greedy)
      const left =
        trial.capabilities.sharing === 'message'
          ? greedy.ids.filter((id) => !acked.includes(id))
          : ids.filter((id) => !acked.includes(id))
      claims.sameIds(await remains(trial, orders, left), left, 'what nobody has settled comes back, once')
    },
  },
]

const WAITING = 10_000
const PREFETCH = 50

async function closesAtOnce(
  trial: Trial,
  what: 'subscription' | 'paused subscription' | 'driver',
): Promise<void> {
  const driver = await trial.open()
  const orders = await trial.destination(what.replace(' ', '-'))
  const sent = trial.messages(orders, 30)
  await trial.confirm(driver, sent)
  const inbox = await trial.subscribe(driver, orders, { prefetch: 10, onDelivery: () => {} })
  await trial.has(inbox, 10)
  const beside = await trial.destination(`beside-${what.replace(' ', '-')}`)
  const sibling = await trial.subscribe(driver, beside)
  if (what === 'paused subscription') await pause(trial, inbox)
  const call = { timeoutMs: PATIENCE_MS, signal: AbortSignal.abort(ABORTED) }
  await trial.ends(
    () => (what === 'driver' ? driver.close(call) : inbox.subscription.close(call)),
    what === 'driver' ? PATIENCE_MS : AT_ONCE_MS,
    `a ${what} closes at once when the signal has fired`,
  )
  const before = inbox.deliveries.length
  await trial.until(() => inbox.end !== undefined, `a ${what} that is closed ends`)
  trial.check(inbox.end === null, `a ${what} that is closed has no reason to end`)
  if (trial.harness.read !== undefined) {
    const reader = await trial.reader(orders)
    await trial.until(async () => (await reader.consumers()) === 0, `a ${what} leaves no consumer`)
  }
  if (what !== 'driver') {
    const more = trial.message(beside)
    await trial.confirm(driver, [more])
    const rule = `a ${what} that is closed at once leaves its siblings running`
    await trial.until(() => sibling.ids.includes(more.id), rule)
    trial.check(sibling.end === undefined, rule, 'one has ended')
  }
  const found = await remains(trial, orders, idsOf(sent))
  trial.claims.sameIds(found, idsOf(sent), `a ${what} that is closed at once loses nothing`)
  trial.claims.equal(inbox.deliveries.length, before, `a ${what} delivers nothing once it is closed`)
}

/** With some open, and more waiting. */
async function pausesWithSome(trial: Trial): Promise<void> {
  const { claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination('some')
  const sent = trial.messages(orders, 40)
  await trial.confirm(driver, sent)
  const settling = new Settling(trial)
  const open: Delivery[] = []
  let count = 0
  const inbox = await trial.subscribe(driver, orders, {
    prefetch: 10,
    onDelivery(delivery) {
      if (++count <= 15) settling.ack(delivery)
      else open.push(delivery)
    },
  })
  await trial.has(inbox, 20)
  await pause(trial, inbox)
  const before = inbox.deliveries.length
  const silent = (): Promise<void> =>
    trial.never(() => inbox.deliveries.length > before, 'nothing is delivered after pause has resolved')
  await silent()

  // That makes room, and there is more than ever.
  const late = trial.messages(orders, 5)
  await trial.confirm(driver, late)
  for (const delivery of open.slice(0, 3)) settling.ack(delivery)
  if (trial.capabilities.requeue && open[3] !== undefined) settling.requeue(open[3])
  await settling.all(true, 'ack and requeue answer true, also after pause')
  await silent()
  trial.check(inbox.end === undefined, 'a subscription that is paused has not ended')
  const acked = inbox.ids.slice(0, 18)
  await trial.unsubscribe(inbox)
  const left = idsOf([...sent, ...late]).filter((id) => !acked.includes(id))
  const found = await remains(trial, orders, left)
  claims.sameIds(found, left, 'all that was not acknowledged comes back after a pause, and nothing else')
}

/** In the same turn in which what was open is acknowledged, so that more is under way. */
async function pausesInTheFlow(trial: Trial): Promise<void> {
  const { claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination('flow')
  const sent = trial.messages(orders, 200)
  await trial.confirm(driver, sent)
  const settling = new Settling(trial)
  const acked: string[] = []
  for (let round = 0; round < 3; round++) {
    const inbox = await trial.subscribe(driver, orders, { prefetch: 20, onDelivery: () => {} })
    await trial.has(inbox, 20)
    for (const delivery of inbox.deliveries.slice(0, 15)) settling.ack(delivery)
    await pause(trial, inbox)
    const before = inbox.deliveries.length
    acked.push(...inbox.ids)
    // There is room for others, if any were still to come.
    for (const delivery of inbox.deliveries.slice(15)) settling.ack(delivery)
    await settling.all(true, 'ack of an open delivery answers true, also during pause and after it')
    const rule = 'nothing is delivered after pause has resolved, in the middle of the flow neither'
    await trial.never(() => inbox.deliveries.length > before, rule)
    await trial.unsubscribe(inbox)
  }
  const left = idsOf(sent).filter((id) => !acked.includes(id))
  const found = await remains(trial, orders, left)
  claims.sameIds(found, left, 'all that was not acknowledged comes back after a pause, and nothing else')
}

function pause(trial: Trial, { subscription }: Inbox): Promise<void> {
  return trial.ends(() => subscription.pause(), PATIENCE_MS, 'pause resolves in bounded time')
}
