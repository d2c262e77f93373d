/** Who gets what: groups, and the members of one. */
import type { Delivery, Destination, Driver, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { delivered } from '../checks/arrival.ts'
import type { Inbox } from '../inbox.ts'
import { assorted } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'

export const GROUPS: readonly Definition[] = [
  {
    id: 'DEL-06',
    title: 'MUST give each group everything, whatever another one does with it',
    needs: ['groups', 'subscribe', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const [driver, other] = [await trial.open(), await trial.open()]
      const orders = await trial.destination()
      const held: Delivery[] = []
      const billing = await trial.subscribe(driver, orders, { group: 'billing' })
      const stock = await trial.subscribe(driver, orders, { group: 'stock' })
      const audit = await trial.subscribe(other, orders, {
        group: 'audit',
        onDelivery: (delivery) => void held.push(delivery),
      })
      const sent = assorted(trial, orders, 40)
      await trial.confirm(driver, sent)
      for (const inbox of [billing, stock]) await delivered(trial, inbox, sent)
      // What one group has acknowledged is still the other's: it comes back to it, too.
      await delivered(trial, audit, sent)
      await trial.unsubscribe(audit)
      const again = await trial.subscribe(other, orders, { group: 'audit' })
      await delivered(trial, again, sent)
      await trial.quiet()
      for (const inbox of [billing, stock, again]) {
        trial.claims.sameIds(inbox.ids, idsOf(sent), 'each group gets all, once')
      }
      const stored = await trial.storedIds(orders, sent.length)
      trial.claims.sameIds(stored, idsOf(sent), 'what named groups take, the default one still has')
    },
  },
  {
    id: 'DEL-07',
    title: 'MUST share among the members of a group: all is delivered, to one of them each',
    needs: ['subscribe', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      await share(trial, await trial.destination('default'), undefined)
      if (trial.capabilities.groups) await share(trial, await trial.destination('named'), 'billing')
    },
  },
  {
    id: 'DEL-11',
    title: "MUST give a new group with from: 'earliest' what is there, and one without nothing of it",
    needs: ['history', 'groups', 'subscribe', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const before = assorted(trial, orders, 300)
      await trial.confirm(driver, before)
      const old = await trial.subscribe(driver, orders, { group: 'old', from: 'earliest' })
      const late = await trial.subscribe(driver, orders, { group: 'late', from: 'new' })
      const silent = await trial.subscribe(driver, orders, { group: 'silent' })
      await trial.has(old, before.length, "a group with from: 'earliest' gets the history")
      await delivered(trial, old, before)
      const after = trial.messages(orders, 10)
      await trial.confirm(driver, after)
      for (const inbox of [late, silent]) await trial.has(inbox, after.length)
      await trial.has(old, before.length + after.length)
      await trial.quiet()
      trial.claims.sameIds(old.ids, idsOf([...before, ...after]), 'the history and all else comes, once')
      for (const inbox of [late, silent]) {
        trial.claims.sameIds(inbox.ids, idsOf(after), 'a group that begins at the end gets nothing earlier')
      }

      // What a group has behind it is not its history once more.
      await trial.unsubscribe(old)
      const next = trial.messages(orders, 3)
      await trial.confirm(driver, next)
      const again = await trial.subscribe(driver, orders, { group: 'old', from: 'earliest' })
      await trial.has(again, next.length)
      await trial.quiet()
      trial.claims.sameIds(again.ids, idsOf(next), 'a group that exists goes on where it was')

      const all = [...before, ...after, ...next]
      const stored = await trial.storedIds(orders, all.length)
      trial.claims.sameIds(stored, idsOf(all), 'what named groups take, the default one still has')
    },
  },
  {
    id: 'DEL-20',
    title: 'MUST keep for a named group, from its first subscribe on, what comes while it has no member',
    needs: ['groups', 'subscribe', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const publishing = await trial.open()
      const orders = await trial.destination()
      const before = trial.messages(orders, 5)
      await trial.confirm(publishing, before)

      const first = await trial.open()
      const inbox = await trial.subscribe(first, orders, { group: 'billing' })
      const atOnce = trial.messages(orders, 10)
      await trial.confirm(publishing, atOnce)
      await trial.has(inbox, atOnce.length, 'a group exists once its first subscribe has resolved')
      await trial.quiet()
      trial.claims.sameIds(inbox.ids, idsOf(atOnce), 'a new group gets what comes from then on')

      await trial.unsubscribe(inbox)
      const meanwhile = trial.messages(orders, 10)
      await trial.confirm(publishing, meanwhile)
      await goesOn(trial, first, orders, meanwhile)
      await trial.close(first)
      const muchLater = trial.messages(orders, 10)
      await trial.confirm(publishing, muchLater)
      await goesOn(trial, await trial.open(), orders, muchLater)

      const all = [...before, ...atOnce, ...meanwhile, ...muchLater]
      const stored = await trial.storedIds(orders, all.length)
      trial.claims.sameIds(stored, idsOf(all), 'what a named group takes, the default one still has')
    },
  },
]

const PREFETCH = 5
const SHARED = 60

/** Several members, some of them of one driver, and one late where messages are shared one by one. Of what they got, and settled, none is the other's. */
async function share(trial: Trial, destination: Destination, group: string | undefined): Promise<void> {
  const whose = group === undefined ? 'the default group' : 'a named group'
  const [driver, other] = [await trial.open(), await trial.open()]
  const byMessage = trial.capabilities.sharing === 'message'
  const held: Delivery[] = []
  let holding = byMessage
  const onDelivery = (delivery: Delivery): void => {
    if (holding) held.push(delivery)
    else trial.acknowledge(delivery)
  }
  const members: Inbox[] = []
  const join = async (each: Driver): Promise<void> => {
    const how = { prefetch: PREFETCH, onDelivery, ...(group === undefined ? {} : { group }) }
    members.push(await trial.subscribe(each, destination, how))
  }
  for (const each of [driver, driver, other]) await join(each)
  const sent = trial.messages(destination, SHARED, (index) => ({ key: `key-${index}` }))
  await trial.confirm(other, sent)
  if (byMessage) {
    // Each is full after a few, so that there is something for everybody.
    const rule = `${whose}: every member gets a part`
    const allHave = (): boolean => members.every(({ deliveries }) => deliveries.length > 0)
    await trial.until(allHave, rule)
    // What others hold is not for one that joins late.
    await join(other)
    await trial.until(allHave, rule)
  }
  holding = false
  for (const delivery of held) trial.acknowledge(delivery)

  const ids = (): string[] => members.flatMap((member) => member.ids)
  const all = (): boolean => new Set(ids()).size >= sent.length
  await trial.until(all, `${whose}: its members get all between them`)
  await trial.quiet()
  trial.claims.sameIds(ids(), idsOf(sent), `${whose}: each message goes to one member`)

  // Whoever is left gets everything.
  for (const member of members.slice(1)) await trial.unsubscribe(member)
  const [last] = members as [Inbox]
  const there = last.deliveries.length
  const more = trial.messages(destination, 9, (index) => ({ key: `key-${index}` }))
  await trial.confirm(other, more)
  await trial.has(last, there + more.length, `${whose}: the member that is left gets all`)
  trial.claims.sameIds(last.ids.slice(there), idsOf(more), `${whose}: the member that is left gets all, once`)
  await trial.unsubscribe(last)
  if (group === undefined) {
    // A queue has nothing any more, and a log all of it.
    const stored = await trial.storedIds(destination, 0)
    const again = stored.filter((id, index) => stored.indexOf(id) !== index)
    trial.claims.equal(again.length, 0, `${whose}: nothing is stored twice`)
  } else {
    const all = [...sent, ...more]
    const stored = await trial.storedIds(destination, all.length)
    trial.claims.sameIds(stored, idsOf(all), `${whose}: what it takes, the default one still has`)
  }
}

/** A member that comes back finds what was published meanwhile, and that alone. */
async function goesOn(
  trial: Trial,
  driver: Driver,
  destination: Destination,
  meanwhile: readonly OutboundMessage[],
): Promise<void> {
  const inbox = await trial.subscribe(driver, destination, { group: 'billing' })
  await trial.has(inbox, meanwhile.length, 'a group keeps what comes while it has no member')
  await trial.quiet()
  trial.claims.sameIds(inbox.ids, idsOf(meanwhile), 'a member that comes back gets what came meanwhile, once')
  await trial.unsubscribe(inbox)
}
