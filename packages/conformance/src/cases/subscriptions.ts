/** How subscriptions end, and what goes on when one does. */
import type { Destination, Driver } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { rejectedWith } from '../checks/failures.ts'
import { remains } from '../checks/remains.ts'
import { Inbox } from '../inbox.ts'
import type { SubscriptionOptions, Trial } from '../trial.ts'

export const SUBSCRIPTIONS: readonly Definition[] = [
  {
    id: 'LIF-07',
    title: 'MUST end every subscription with close, without a reason, and leave no connection',
    needs: ['subscribe'],
    budgetMs: 40_000,
    async prove(trial) {
      const { claims, capabilities } = trial
      const proxy = trial.harness.broker.address === undefined ? undefined : await trial.proxy()
      const driver = await trial.open(proxy === undefined ? {} : { address: proxy.address })
      const [orders, bills] = [await trial.destination('orders'), await trial.destination('bills')]
      const [ordered, billed] = [trial.messages(orders, 5), trial.messages(bills, 5)]
      for (const some of [ordered, billed]) await trial.confirm(driver, some)
      const holds = { onDelivery: LEAVE_OPEN, prefetch: 2 }
      const inboxes = [
        await trial.subscribe(driver, orders, holds),
        await trial.subscribe(driver, orders, holds),
        await trial.subscribe(driver, bills, holds),
      ]
      if (capabilities.groups)
        inboxes.push(await trial.subscribe(driver, bills, { ...holds, group: 'audit' }))
      if (trial.canSee) await trial.has(inboxes[2] as Inbox, 1)

      await trial.close(driver)
      for (const inbox of inboxes) await endsWithClose(trial, inbox)
      if (proxy !== undefined) {
        await trial.until(() => proxy.open === 0, 'close leaves no connection', ENDED_MS)
      }
      for (const destination of [orders, bills]) await isLeftAlone(trial, destination)
      if (capabilities.groups) await isLeftAlone(trial, bills, 'audit')
      if (!trial.canSee) return
      const before = inboxes.map((inbox) => inbox.deliveries.length)
      for (const [destination, some] of [[orders, ordered] as const, [bills, billed] as const]) {
        const found = await remains(trial, destination, idsOf(some))
        claims.includes(found, idsOf(some), 'what was unsettled when its driver was closed is for others')
      }
      for (const [index, inbox] of inboxes.entries()) {
        claims.equal(inbox.deliveries.length, before[index], 'nothing is delivered after close')
      }
    },
  },
  {
    id: 'LIF-10',
    title: 'MUST reject subscribe after close with CLOSED',
    needs: ['subscribe'],
    budgetMs: 40_000,
    async prove(trial) {
      const { claims, capabilities } = trial
      const orders = await trial.destination()
      const [used, unused, opening, closing] = [
        await trial.open(),
        await trial.open(),
        await trial.open(),
        await trial.open(),
      ]
      const published = [used, opening, closing].map((driver) => ({ driver, message: trial.message(orders) }))
      for (const { driver, message } of published) await trial.confirm(driver, [message])
      const inboxes: Inbox[] = []
      const open = (driver: Driver, options: SubscriptionOptions = {}) => {
        const inbox = new Inbox(orders)
        inboxes.push(inbox)
        return trial.trySubscribe(driver, orders, options, inbox)
      }

      for (const driver of [used, unused]) await trial.close(driver)
      const groups = capabilities.groups ? [{}, { group: 'audit' }, {}] : [{}, {}]
      for (const driver of [used, unused]) {
        for (const options of groups) {
          const { error } = await open(driver, options)
          const expected = { code: 'CLOSED', retryable: false } as const
          rejectedWith(claims, error, expected, 'subscribe rejects with CLOSED after close')
        }
      }
      // While the driver is being closed it may still be opened, and then ends with it.
      const asked = open(opening)
      await trial.close(opening)
      const done = trial.close(closing)
      const late = open(closing)
      await done
      for (const { value } of [await asked, await late]) {
        if (value !== undefined) await endsWithClose(trial, value)
      }
      await isLeftAlone(trial, orders)
      if (!trial.canSee) return
      const before = inboxes.flatMap((inbox) => inbox.ids)
      const ids = idsOf(published.map(({ message }) => message)).filter((id) => !before.includes(id))
      claims.includes(
        await remains(trial, orders, ids),
        ids,
        'a subscribe that was rejected leaves no consumer',
      )
      const after = inboxes.flatMap((inbox) => inbox.ids)
      claims.sameIds(after, before, 'a subscribe that was rejected brings nothing')
    },
  },
  {
    id: 'LIF-12',
    title: 'MUST lose nothing where one driver subscribes, closes that and subscribes again',
    needs: ['subscribe'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const had = new Set<string>()
      const note = (inbox: Inbox): void => {
        for (const id of inbox.ids) had.add(id)
      }
      const brings = async (inbox: Inbox, ids: readonly string[], rule: string): Promise<void> => {
        await trial.until(() => ids.every((id) => had.has(id) || inbox.of(id).length > 0), rule)
        note(inbox)
      }
      const publish = async (count = 10): Promise<string[]> => {
        const messages = trial.messages(orders, count)
        await trial.confirm(driver, messages)
        return idsOf(messages)
      }

      for (let round = 0; round < 3; round++) {
        const meanwhile = await publish()
        const inbox = await trial.subscribe(driver, orders, { prefetch: 1 + 10 * round })
        await brings(inbox, meanwhile, 'a subscription brings what came while there was none')
        await brings(inbox, await publish(), 'a subscription brings what comes')
        await trial.unsubscribe(inbox)
        note(inbox)
        await endsWithClose(trial, inbox)
      }
      // What it had not settled is there for the next one, which comes while the last one goes.
      const left = await publish(5)
      const holding = await trial.subscribe(driver, orders, { onDelivery: LEAVE_OPEN, prefetch: 3 })
      await trial.has(holding, 1)
      const [next] = await Promise.all([trial.subscribe(driver, orders), trial.unsubscribe(holding)])
      const rule = 'a subscription brings what the one before had not settled'
      await trial.until(() => left.every((id) => next.of(id).length > 0), rule)
      await brings(next, await publish(), 'a subscription brings what comes after another one was closed')
      trial.check(next.end === undefined, 'a subscription goes on after another one was closed', 'it ended')
    },
  },
  {
    id: 'LIF-15',
    title: 'MUST leave the other subscriptions of a driver running when one is closed',
    needs: ['subscribe'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const [orders, bills, parcels] = [
        await trial.destination('orders'),
        await trial.destination('bills'),
        await trial.destination('parcels'),
      ]
      const members = [
        await trial.subscribe(driver, orders),
        await trial.subscribe(driver, orders),
        await trial.subscribe(driver, orders),
      ]
      const groups = [members, [await trial.subscribe(driver, bills)]]
      if (trial.capabilities.groups) {
        groups.push([await trial.subscribe(driver, orders, { group: 'audit' })])
      }
      const holding = await trial.subscribe(driver, parcels, { onDelivery: LEAVE_OPEN, prefetch: 1 })
      await trial.confirm(driver, [trial.message(parcels)])
      const [held] = await trial.has(holding, 1)

      const [, second, third] = members
      const closing = [third, second, ...groups.slice(1).flat()]
      for (let closed = closing.shift(); closed !== undefined; closed = closing.shift()) {
        await trial.unsubscribe(closed)
        await endsWithClose(trial, closed)
        const left = groups.map((group) =>
          group.filter((inbox) => inbox === members[0] || closing.includes(inbox)),
        )
        for (const group of left) await goesOn(trial, driver, group)
        for (const inbox of [...left.flat(), holding]) {
          trial.check(
            inbox.end === undefined,
            'closing a subscription ends no other one',
            'another one ended',
          )
        }
      }
      const rule = 'what another subscription has open can be acknowledged'
      const acknowledged = await trial.ends(() => held?.ack(), ACK_MS, rule)
      trial.check(acknowledged === true, rule, `it resolved ${acknowledged}`)
      await trial.confirm(driver, [trial.message(parcels)])
      await trial.has(holding, 2, 'a subscription that held something goes on')
    },
  },
]

const LEAVE_OPEN = (): void => {}
/** How long what was closed may still be seen from outside. */
const ENDED_MS = 2_000
const ACK_MS = 5_000

async function endsWithClose(trial: Trial, inbox: Inbox): Promise<void> {
  await trial.until(() => inbox.end !== undefined, 'a subscription that is closed has ended', ENDED_MS)
  const reason = inbox.end?.code
  trial.check(inbox.end === null, 'a subscription that is closed ends without a reason', reason)
}

/** What is published comes to one of its members. */
async function goesOn(trial: Trial, driver: Driver, members: readonly Inbox[]): Promise<void> {
  const [first] = members
  if (first === undefined) return
  const some = trial.messages(first.destination, 10)
  await trial.confirm(driver, some)
  const rule = 'a subscription goes on after another one of its driver was closed'
  const came = (id: string): boolean => members.some((inbox) => inbox.of(id).length > 0)
  await trial.until(() => some.every(({ id }) => came(id)), rule)
}

/** Nobody consumes it, as far as that can be seen. */
async function isLeftAlone(trial: Trial, destination: Destination, group?: string): Promise<void> {
  if (trial.harness.read === undefined) return
  const reader = await trial.reader(destination)
  const rule = 'what is closed leaves no consumer'
  await trial.until(async () => (await reader.consumers(group)) === 0, rule, ENDED_MS)
}
