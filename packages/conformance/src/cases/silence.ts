/** Signals that end what waits for an answer that does not come. */
import type { CallOptions, Destination, Driver, Failure } from '@notify/core'
import type { Call } from '../call.ts'
import type { Definition } from '../case.ts'
import { Inbox } from '../inbox.ts'
import { groupsOf } from '../scenes/settling.ts'
import { Sightings } from '../scenes/sightings.ts'
import { ABORTED, AT_ONCE_MS, PATIENCE_MS, type Trial } from '../trial.ts'
import { DEADLINE, until } from '../wait.ts'

export const SILENCE: readonly Definition[] = [
  {
    id: 'ABT-03',
    title: 'MUST reject at once when subscribing is aborted, and leave no consumer',
    needs: ['subscribe'],
    budgetMs: 60_000,
    prove: subscribesNot,
  },
  {
    id: 'DLN-01',
    title: 'MUST end each call at once when its signal fires, also on a connection that is silent',
    needs: ['address'],
    budgetMs: 60_000,
    async prove(trial) {
      await fallsSilent(trial)
      await wasNeverHeard(trial)
    },
  },
]

async function subscribesNot(trial: Trial): Promise<void> {
  const { claims } = trial
  const orders = await trial.destination()
  const driver = await trial.open()
  const sent = trial.messages(orders, 20)
  await trial.confirm(driver, sent)
  // A group that is there can be looked at.
  for (const options of groupsOf(trial)) {
    if (options.group !== undefined) await trial.unsubscribe(await trial.subscribe(driver, orders, options))
  }
  const refused: Inbox[] = []
  const attempt = async (by: Driver, moment: string, when: Moment, group?: string): Promise<boolean> => {
    const inbox = new Inbox(orders)
    refused.push(inbox)
    const controller = new AbortController()
    if (when === 'before') controller.abort(ABORTED)
    const member = group === undefined ? {} : { group }
    const options = { ...member, signal: controller.signal, onDelivery: () => {} }
    const opening = pending(() => trial.trySubscribe(by, orders, options, inbox))
    if (when !== 'before') {
      await when()
      controller.abort(ABORTED)
    }
    const rule = `subscribe ends at once when it is aborted ${moment}`
    const { value, error } = await trial.ends(() => opening, AT_ONCE_MS, rule)
    if (value !== undefined) {
      await trial.unsubscribe(value)
      refused.pop()
      return false
    }
    claims.failed(
      error as Failure,
      { code: 'ABORTED' },
      `aborted ${moment}, subscribe rejects with the reason`,
    )
    return true
  }
  const refuses = async (by: Driver, moment: string, when: Moment, group?: string): Promise<void> =>
    trial.check(await attempt(by, moment, when, group), `aborted ${moment}, subscribe rejects`, 'it resolved')

  for (const by of [driver, await trial.open()]) {
    for (const { group } of groupsOf(trial)) {
      await refuses(by, 'beforehand', 'before', group)
      await refuses(by, 'in the same turn', async () => {}, group)
    }
  }
  if (trial.harness.broker.address !== undefined) await onAWire(trial, orders, refuses, attempt)

  if (trial.harness.read !== undefined) {
    const reader = await trial.reader(orders)
    for (const { group } of groupsOf(trial)) {
      const rule = `a subscribe that was aborted leaves no consumer${group === undefined ? '' : ' of a group'}`
      await trial.until(async () => (await reader.consumers(group)) === 0, rule)
    }
  }
  const before = refused.map(({ deliveries }) => deliveries.length)
  const controller = new AbortController()
  const inbox = await trial.subscribe(await trial.open(), orders, { signal: controller.signal })
  await trial.has(inbox, sent.length, 'a subscribe that was aborted keeps nothing from others')
  controller.abort(ABORTED)
  await trial.quiet()
  const late = trial.message(orders)
  await trial.confirm(driver, [late])
  const rule = 'a signal that fires when the subscription is open does nothing to it'
  await trial.until(() => inbox.ids.includes(late.id), rule)
  trial.check(inbox.end === undefined, rule, 'it has ended')
  refused.forEach(({ deliveries }, index) => {
    claims.equal(deliveries.length, before[index], 'nothing is delivered to a subscribe that was aborted')
  })
}

/** When the signal fires. */
type Moment = 'before' | (() => Promise<void>)

type Attempt<T> = (by: Driver, moment: string, when: () => Promise<void>) => Promise<T>

/** While an answer does not come, and at several moments of a slow connection. */
async function onAWire(
  trial: Trial,
  orders: Destination,
  refuses: Attempt<void>,
  attempt: Attempt<boolean>,
): Promise<void> {
  const proxy = await trial.proxy()
  const open = (): Promise<Driver> => trial.open({ address: proxy.address })
  const connected = await open()
  await trial.confirm(connected, [trial.message(await trial.destination('beside'))])
  for (const by of [connected, await open()]) {
    proxy.down.hold()
    await refuses(by, 'while no answer comes', () => trial.quiet())
    proxy.down.release()
  }

  const start = proxy.down.bytes
  const whole = await trial.subscribe(await open(), orders, { prefetch: 1, onDelivery: () => {} })
  const bytes = proxy.down.bytes - start
  await trial.unsubscribe(whole)
  proxy.down.shape({ delayMs: 15 })
  for (let step = 1; step <= 6; step++) {
    const end = proxy.down.bytes + (bytes * step) / 7
    // By the last ones it may be open, and then it is closed like any other.
    await attempt(await open(), `after ${step} of 7 parts of the answers`, async () => {
      await until(() => proxy.down.bytes >= end, trial.times.deliverMs)
    })
  }
  proxy.down.shape({})
}

/** What was connected and in use. */
async function fallsSilent(trial: Trial): Promise<void> {
  const proxy = await trial.proxy()
  const driver = await trial.open({ address: proxy.address })
  const orders = await trial.destination('silent')
  await trial.confirm(driver, [trial.message(orders)])
  const inbox = trial.subscribes
    ? await trial.subscribe(driver, await trial.destination('consumed'), { onDelivery: () => {} })
    : undefined

  const sent = trial.messages(orders, Math.min(5, trial.capabilities.maxBatch))
  const controller = new AbortController()
  proxy.down.hold()
  const sightings = new Sightings(proxy.up, sent)
  const call = trial.send(driver, sent, { signal: controller.signal })
  const written = await sightings.gone(trial.times.deliverMs)
  proxy.blackHole()
  await endsAll(trial, driver, orders, { controller, calls: [call] })
  for (const message of written) {
    const rule = 'what was written to a connection that is silent may have been sent'
    trial.claims.failed(call.outcome(message), { maybeSent: true }, rule)
  }
  if (inbox !== undefined) {
    await closes(trial, 'a subscription closes', (options) => inbox.subscription.close(options))
  }
  await closesWithOneOpen(trial, driver, orders)
}

/** What finds nobody who answers. */
async function wasNeverHeard(trial: Trial): Promise<void> {
  const proxy = await trial.proxy()
  proxy.blackHole()
  const driver = await trial.open({ address: proxy.address })
  const orders = await trial.destination('unheard')
  await endsAll(trial, driver, orders, { controller: new AbortController(), calls: [] })
  await closesWithOneOpen(trial, driver, orders)
}

/** Publishing, health and subscribing, all under one signal, besides the calls that wait already. */
async function endsAll(
  trial: Trial,
  driver: Driver,
  orders: Destination,
  { controller, calls }: { readonly controller: AbortController; readonly calls: readonly Call[] },
): Promise<void> {
  const { claims } = trial
  const { signal } = controller
  const rule = (what: string): string => `${what} ends within ${AT_ONCE_MS} ms of its signal`
  const limited = await trial.ends(
    () => driver.health({ timeoutMs: LIMIT_MS, signal: new AbortController().signal }),
    LIMIT_MS + AT_ONCE_MS,
    `health resolves within ${AT_ONCE_MS} ms of its timeoutMs`,
  )
  claims.equal(limited.ok, false, 'health is not ok where nobody answers')

  const all = [...calls, trial.send(driver, trial.messages(orders, 2), { signal })]
  const health = pending(() => driver.health({ timeoutMs: PATIENCE_MS, signal }))
  const inbox = pending(() =>
    trial.subscribes ? trial.trySubscribe(driver, orders, { signal, onDelivery: () => {} }) : undefined,
  )
  await trial.quiet()
  const open = all.map((call) => new Set(call.open))
  controller.abort(DEADLINE)
  const [answer, opened] = await Promise.all([
    trial.ends(() => health, AT_ONCE_MS, rule('health')),
    trial.ends(() => inbox, AT_ONCE_MS, rule('subscribe')),
    ...all.map((call) => trial.settled(call, AT_ONCE_MS)),
  ])
  claims.equal(answer.ok, false, 'health is not ok where nobody answers')
  for (const [index, call] of all.entries()) {
    for (const message of call.batch) {
      const expected = open[index]?.has(message) ? { code: DEADLINE.code } : {}
      claims.failed(call.outcome(message), expected, 'what nobody answers is settled with the reason')
    }
  }
  if (opened === undefined) return
  trial.check(opened.value === undefined, 'subscribe rejects where nobody answers', 'it resolved')
  claims.failed(opened.error as Failure, {}, 'subscribe rejects with a failure')
}

/** The shortest time that `health` is given. */
const LIMIT_MS = 200

async function closes(
  trial: Trial,
  what: string,
  work: (options: CallOptions) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  const closing = pending(() => work({ timeoutMs: PATIENCE_MS, signal: controller.signal }))
  await trial.quiet()
  controller.abort(DEADLINE)
  await trial.ends(() => closing, AT_ONCE_MS, `${what} within ${AT_ONCE_MS} ms of its signal`)
}

async function closesWithOneOpen(trial: Trial, driver: Driver, orders: Destination): Promise<void> {
  const call = trial.send(driver, [trial.message(orders)])
  await closes(trial, 'close ends', (options) => driver.close(options))
  await trial.settled(call, AT_ONCE_MS)
  trial.claims.failed(call.outcome(0), {}, 'what nobody answers is not confirmed by close')
}

/** Begun, and nobody's trouble until it is awaited. */
function pending<T>(work: () => T | Promise<T>): Promise<T> {
  const running = (async () => work())()
  running.catch(() => {})
  return running
}
