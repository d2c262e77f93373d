/** What a driver does with a delivery while it is open, and with one that is never settled. */
import type { Delivery, Destination, Driver } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { comesBackMs, leaseOf, remains } from '../checks/remains.ts'
import { show } from '../claims.ts'
import { type Inbox, idOf } from '../inbox.ts'
import { groupsOf, Settling } from '../scenes/settling.ts'
import type { Trial } from '../trial.ts'
import { until } from '../wait.ts'

export const KEEPING: readonly Definition[] = [
  {
    id: 'ACK-05',
    title: 'MUST bring back what was not settled: at close, and when a consumer is cut off',
    needs: ['subscribe'],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      const ends = trial.canCut ? ENDS : ENDS.slice(0, 2)
      for (const end of ends) {
        for (const options of groupsOf(trial)) await comesBack(trial, end, options)
      }
    },
  },
  {
    id: 'ACK-07',
    title: 'MUST have no more than prefetch deliveries unsettled at a time',
    needs: ['subscribe'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const group = groupsOf(trial).at(-1) ?? {}
      await Promise.all([
        keepsTo(trial, driver, { prefetch: 1 }),
        keepsTo(trial, driver, { prefetch: 3, ...group }),
        keepsTo(trial, driver, { prefetch: 10 }),
      ])
    },
  },
  {
    id: 'ACK-08',
    title: 'MUST count deliveries: 1 at first, more with each that follows, never fewer',
    needs: ['subscribe', 'deliveryCount'],
    budgetMs: 60_000,
    exclusive: true,
    prove: counts,
  },
  {
    id: 'ACK-13',
    title: 'MUST keep a delivery alive for as long as it is open, over several leases',
    needs: ['subscribe', 'lease'],
    budgetMs: 120_000,
    async prove(trial) {
      const { claims } = trial
      const { leaseMs = 0 } = trial.harness
      const driver = await trial.open({ leaseMs })
      const orders = await trial.destination()
      const sent = trial.messages(orders, 12)
      await trial.confirm(driver, sent)
      const inbox = await trial.subscribe(driver, orders, { onDelivery: () => {} })
      const held = [...(await trial.has(inbox, sent.length))]
      // A member more is a reason to share anew where partitions are shared.
      const other =
        trial.capabilities.sharing === 'message'
          ? await trial.subscribe(await trial.open({ leaseMs }), orders, { onDelivery: () => {} })
          : undefined
      const came = (): number => inbox.deliveries.length + (other?.deliveries.length ?? 0)
      const rule = 'what is open is not delivered again'
      await trial.never(() => came() > sent.length, rule, 3.5 * leaseMs)
      const settling = new Settling(trial)
      for (const delivery of held) settling.ack(delivery)
      await settling.all(true, 'ack answers true after several leases')
      if (other !== undefined) await trial.unsubscribe(other)
      await trial.unsubscribe(inbox)
      await trial.never(() => came() > sent.length, rule, leaseMs)
      claims.sameIds(await remains(trial, orders, []), [], 'and then it is gone')
    },
  },
  {
    id: 'ACK-14',
    title: 'MUST answer false to ack and requeue once the subscription has ended; what was open comes back',
    needs: ['subscribe', 'cut'],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      for (const end of ENDS) await answersFalse(trial, end)
    },
  },
]

type End = 'subscription' | 'driver' | 'connection'
const ENDS: readonly End[] = ['subscription', 'driver', 'connection']

/** A consumer, and what ends it. */
async function consumer(
  trial: Trial,
  end: End,
): Promise<{ driver: Driver; stop(inbox: Inbox): Promise<void> }> {
  if (end === 'connection') {
    const { driver, cutOff } = await trial.doomed(leaseOf(trial))
    return { driver, stop: cutOff }
  }
  const driver = await trial.open(leaseOf(trial))
  return {
    driver,
    stop: (inbox) => (end === 'driver' ? trial.close(driver) : trial.unsubscribe(inbox)),
  }
}

async function comesBack(trial: Trial, end: End, options: { readonly group?: string }): Promise<void> {
  const { claims } = trial
  const orders = await trial.destination(`${end}-${options.group ?? 'default'}`)
  const sent = trial.messages(orders, 30)
  const settling = new Settling(trial)
  const acked = new Set<string>()
  const open = new Set<string>()
  const late: (() => string[])[] = []
  const comes = `what was open at the end of the ${end} comes back`
  // What came back once, and is open again, comes back once more.
  for (let round = 0; round < 2; round++) {
    const { driver, stop } = await consumer(trial, end)
    const inbox = await trial.subscribe(driver, orders, { ...options, prefetch: 10, onDelivery: () => {} })
    if (round === 0) await trial.confirm(driver, sent)
    const rule = round === 0 ? 'deliveries go on as they are settled' : comes
    await trial.until(() => inbox.deliveries.length >= 10, rule, comesBackMs(trial))
    for (const delivery of inbox.deliveries.slice(0, 5)) settling.ack(delivery)
    await settling.all(true, 'ack of an open delivery answers true')
    await trial.until(() => inbox.deliveries.length >= 15, rule, comesBackMs(trial))
    const came = inbox.ids.length
    for (const id of inbox.ids.slice(0, 5)) acked.add(id)
    for (const id of inbox.ids.slice(5)) open.add(id)
    await stop(inbox)
    // A client that connects again by itself may be given some as well.
    if (end === 'connection') late.push(() => inbox.ids.slice(came))
  }

  const left = idsOf(sent).filter((id) => !acked.has(id))
  const elsewhere = (): string[] => late.flatMap((ids) => ids())
  const found = await remains(trial, orders, left, { ...options, elsewhere })
  const opened = [...open].filter((id) => !acked.has(id))
  claims.includes(found, opened, comes)
  claims.includes(found, left, `what had not been delivered at the end of the ${end} is there`)
  if (end === 'connection') return
  claims.sameIds(found, left, `at the end of the ${end}, all that was not acknowledged comes back, once`)
}

async function keepsTo(
  trial: Trial,
  driver: Driver,
  options: { readonly prefetch: number; readonly group?: string },
): Promise<void> {
  const { prefetch } = options
  const { claims, random } = trial
  const orders = await trial.destination(`by-${prefetch}`)
  const sent = trial.messages(orders, 40, (index) => ({ key: `key-${index}` }))
  // A named group begins with its first member.
  if (options.group === undefined) await trial.confirm(driver, sent)
  const settling = new Settling(trial)
  const open: Delivery[] = []
  let most = 0
  const inbox = await trial.subscribe(driver, orders, {
    ...options,
    onDelivery(delivery) {
      open.push(delivery)
      most = Math.max(most, open.length)
    },
  })
  const within = (): void =>
    trial.check(
      most <= prefetch,
      'no more than prefetch deliveries are unsettled at a time',
      `${most} were, with a prefetch of ${prefetch}`,
    )
  if (options.group !== undefined) await trial.confirm(driver, sent)
  await trial.has(inbox, 1)
  await trial.quiet()
  within()
  const requeued = new Set<string>()
  const acked: string[] = []
  while (acked.length < sent.length) {
    await trial.until(() => open.length > 0, 'deliveries go on as they are settled')
    // The oldest first, so that a log can go on.
    for (const delivery of open.splice(0, random.between(1, open.length))) {
      const id = idOf(delivery.body) ?? '?'
      if (trial.capabilities.requeue && !requeued.has(id) && random.next() < 0.3) {
        requeued.add(id)
        settling.requeue(delivery)
      } else {
        acked.push(id)
        settling.ack(delivery)
      }
    }
    within()
  }
  await settling.all(true, 'ack and requeue of an open delivery answer true')
  await trial.quiet()
  within()
  claims.sameIds(acked, idsOf(sent), 'everything is delivered, a prefetch at a time')
}

async function counts(trial: Trial): Promise<void> {
  const { requeue, delay } = trial.capabilities
  const lease = leaseOf(trial)
  const orders = await trial.destination()
  const first = await trial.open(lease)
  const sent = trial.messages(orders, 3)
  await trial.confirm(first, sent)
  const count = new Count(trial, idsOf(sent))
  const inbox = await count.consume(first, orders)
  await count.becomes((now) => now === 1, 'the first delivery has the count 1')

  const settling = new Settling(trial)
  const oneMore = (now: number, before: number): boolean => now === before + 1
  const more = (now: number, before: number): boolean => now > before
  const delays = [undefined, undefined, ...(delay === false ? [] : [{ delayMs: Math.min(30, delay.maxMs) }])]
  for (const how of requeue ? [...delays, undefined] : []) {
    for (const delivery of count.take()) settling.requeue(delivery, how)
    await settling.all(true, 'requeue of an open delivery answers true')
    const rule = `a delivery that was given back${how === undefined ? '' : ', to come later,'} counts one more`
    await count.becomes(oneMore, rule)
  }

  count.take()
  await trial.unsubscribe(inbox)
  const second = await trial.open(lease)
  await count.consume(second, orders)
  await count.becomes(more, 'what comes back from a subscription that was closed counts more')

  count.take()
  await trial.close(second)
  const { driver, cutOff } = trial.canCut
    ? await trial.doomed(lease)
    : { driver: await trial.open(lease), cutOff: undefined }
  await count.consume(driver, orders)
  await count.becomes(more, 'what comes back from a driver that was closed counts more')

  if (cutOff !== undefined) {
    count.take()
    await cutOff()
    await count.consume(await trial.open(lease), orders)
    await count.becomes(more, 'what comes back from a consumer that was cut off counts more')
  }
  for (const delivery of count.take()) settling.ack(delivery)
  await settling.all(true, 'ack of an open delivery answers true')
}

/** What is open of some messages, over all their consumers, and the counts that they had before. */
class Count {
  readonly #trial: Trial
  readonly #ids: readonly string[]
  readonly #open = new Map<string, Delivery>()
  readonly #last = new Map<string, number>()

  constructor(trial: Trial, ids: readonly string[]) {
    this.#trial = trial
    this.#ids = ids
  }

  consume(driver: Driver, orders: Destination): Promise<Inbox> {
    const onDelivery = (delivery: Delivery): void => {
      this.#open.set(idOf(delivery.body) ?? '?', delivery)
    }
    return this.#trial.subscribe(driver, orders, { onDelivery })
  }

  take(): Delivery[] {
    const all = [...this.#open.values()]
    this.#open.clear()
    return all
  }

  /** Waits until all are open, and looks at each. */
  async becomes(holds: (now: number, before: number) => boolean, rule: string): Promise<void> {
    this.#trial.evidence ??= 'round-trip'
    const all = (): boolean => this.#open.size === this.#ids.length
    await this.#trial.until(all, `${rule}: it is delivered`, comesBackMs(this.#trial))
    for (const id of this.#ids) {
      const now = this.#open.get(id)?.deliveries
      const before = this.#last.get(id) ?? 0
      this.#trial.check(typeof now === 'number', 'a delivery says how often it came', show(now))
      this.#trial.check(holds(now as number, before), rule, `${now} after ${before}`)
      this.#last.set(id, now as number)
    }
  }
}

async function answersFalse(trial: Trial, end: End): Promise<void> {
  const { claims } = trial
  const { driver, stop } = await consumer(trial, end)
  const orders = await trial.destination(end)
  const sent = trial.messages(orders, 8)
  await trial.confirm(driver, sent)
  const inbox = await trial.subscribe(driver, orders, { onDelivery: () => {} })
  const held = [...(await trial.has(inbox, sent.length))]
  await stop(inbox)

  const ended = await until(() => inbox.end !== undefined, trial.times.deliverMs)
  if (end !== 'connection') trial.check(ended, `a subscription ends with its ${end}`)
  const settling = new Settling(trial)
  const how = (index: number): 'ack' | 'requeue' =>
    trial.capabilities.requeue && index % 2 === 1 ? 'requeue' : 'ack'
  const settleAll = (): void => held.forEach((delivery, index) => void settling[how(index)](delivery))
  if (ended) {
    settleAll()
    await settling.all(false, `after the end of the ${end}, ack and requeue answer false`)
    settleAll()
    await settling.all(false, `after the end of the ${end}, ack and requeue answer false, each time`)
  }
  const found = await remains(trial, orders, idsOf(sent), {
    elsewhere: () => (ended ? [] : inbox.ids.slice(held.length)),
  })
  claims.includes(found, idsOf(sent), `what was open at the end of the ${end} comes back`)
}
