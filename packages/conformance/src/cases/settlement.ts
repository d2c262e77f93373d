/** What becomes of a delivery that is acknowledged or given back. */
import type { Delivery, Destination, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { remains } from '../checks/remains.ts'
import { idOf } from '../inbox.ts'
import { groupsOf, Settling, sameMessage } from '../scenes/settling.ts'
import type { Trial } from '../trial.ts'

export const SETTLEMENT: readonly Definition[] = [
  {
    id: 'ACK-01',
    title: 'MUST remove for good what is acknowledged, nothing else, and answer true',
    needs: ['subscribe'],
    budgetMs: 30_000,
    async prove(trial) {
      for (const options of groupsOf(trial)) {
        await acknowledgesSome(trial, options)
        await acknowledgesAtTheEnd(trial, options)
      }
    },
  },
  {
    id: 'ACK-02',
    title: 'MUST deliver again, whole and once, what is given back, and answer true',
    needs: ['subscribe', 'requeue'],
    budgetMs: 30_000,
    async prove(trial) {
      const { claims } = trial
      const driver = await trial.open()
      const orders = await trial.destination()
      const bystander = trial.capabilities.groups
        ? await trial.subscribe(driver, orders, { group: 'bystander' })
        : undefined
      const settling = new Settling(trial)
      const came = new Set<string>()
      const inbox = await trial.subscribe(driver, orders, {
        prefetch: 3,
        onDelivery(delivery) {
          const id = idOf(delivery.body) ?? '?'
          if (came.has(id)) settling.ack(delivery)
          else settling.requeue(delivery)
          came.add(id)
        },
      })
      const sent = mixed(trial, orders, 12)
      await trial.confirm(driver, sent)

      await trial.has(inbox, 2 * sent.length, 'what is given back is delivered again')
      await settling.all(true, 'ack and requeue of an open delivery answer true')
      await trial.quiet()
      const twice = sent.flatMap(({ id }) => [id, id])
      claims.sameIds(inbox.ids, twice, 'what is given back is delivered again, once')
      for (const message of sent) {
        for (const delivery of inbox.of(message.id)) {
          sameMessage(trial, delivery, message, 'a delivery is the message that was sent')
        }
      }
      if (bystander !== undefined) {
        claims.sameIds(bystander.ids, idsOf(sent), 'what one group gives back concerns no other one')
      }
      await trial.unsubscribe(inbox)
      claims.sameIds(await remains(trial, orders, []), [], 'what is given back and acknowledged then is gone')
    },
  },
  {
    id: 'ACK-04',
    title: 'MUST keep what is given back again and again, for whoever takes it',
    needs: ['subscribe', 'requeue'],
    budgetMs: 60_000,
    async prove(trial) {
      const { claims } = trial
      const driver = await trial.open()
      const orders = await trial.destination()
      const sent = mixed(trial, orders, 20)
      await trial.confirm(driver, sent)
      const settling = new Settling(trial)
      const came = new Map<string, number>()
      const sick = await trial.subscribe(driver, orders, {
        prefetch: 2 * sent.length,
        onDelivery(delivery) {
          const id = idOf(delivery.body) ?? '?'
          const times = (came.get(id) ?? 0) + 1
          came.set(id, times)
          if (times <= MANY) settling.requeue(delivery)
        },
      })
      const rule = 'however often it is given back, it comes again'
      await trial.has(sick, (MANY + 1) * sent.length, rule)
      for (const { id } of sent) claims.equal(came.get(id), MANY + 1, rule)
      await settling.all(true, 'requeue of an open delivery answers true')
      await trial.unsubscribe(sick)

      const healthy = await trial.subscribe(await trial.open(), orders)
      await trial.has(healthy, sent.length, 'a healthy consumer gets what others gave back')
      await trial.quiet()
      claims.sameIds(healthy.ids, idsOf(sent), 'a healthy consumer gets all that others gave back, once')
      for (const message of sent) {
        for (const delivery of healthy.of(message.id)) {
          sameMessage(trial, delivery, message, 'what was given back is still the message that was sent')
        }
      }
      await trial.unsubscribe(healthy)
      claims.sameIds(await remains(trial, orders, []), [], 'what is given back and acknowledged then is gone')
    },
  },
  {
    id: 'ACK-06',
    title: 'MUST take a second ack or requeue without harm',
    needs: ['subscribe'],
    budgetMs: 30_000,
    prove: settlesTwice,
  },
  {
    id: 'ACK-15',
    title: 'MUST not deliver from within ack or requeue',
    needs: ['subscribe'],
    budgetMs: 30_000,
    async prove(trial) {
      for (const prefetch of [1, 4]) await deliversOutside(trial, prefetch)
    },
  },
]

/** More than the 20 after which some brokers drop a message. */
const MANY = 25

/** Small and large ones, with and without headers and keys. */
function mixed(trial: Trial, destination: Destination, count: number): OutboundMessage[] {
  const large = Math.min(65_536, Math.floor(trial.capabilities.maxMessageBytes / 2))
  return trial.messages(destination, count, (index) => ({
    ...(index % 3 === 1 ? { key: `key-${index}` } : {}),
    ...(index % 2 === 1 ? { headers: { number: String(index), 'X-Name': 'naïve' } } : {}),
    ...(index % 8 === 5 ? { size: large } : {}),
  }))
}

async function acknowledgesSome(trial: Trial, options: { readonly group?: string }): Promise<void> {
  const { claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination(`some-${options.group ?? 'default'}`)
  const settling = new Settling(trial)
  const inbox = await trial.subscribe(driver, orders, { ...options, onDelivery: () => {} })
  const sent = mixed(trial, orders, 24)
  await trial.confirm(driver, sent)
  const held = await trial.has(inbox, sent.length)

  // In the order in which they came, so that a log can say so with one offset.
  for (const delivery of held.slice(0, 8)) {
    settling.ack(delivery)
    await settling.all(true, 'ack of an open delivery answers true')
  }
  for (const delivery of held.slice(8, 16)) settling.ack(delivery)
  await settling.all(true, 'each of several acks at once answers true')
  const kept = inbox.ids.slice(16)
  await trial.unsubscribe(inbox)
  const rule = 'what was acknowledged is gone for good, and nothing else'
  claims.sameIds(await remains(trial, orders, kept, options), kept, rule)
  claims.sameIds(await remains(trial, orders, [], options), [], rule)
  if (options.group === undefined) await excludedOutside(trial, orders, idsOf(sent))
}

/** Acks that are under way when the subscription is closed. */
async function acknowledgesAtTheEnd(trial: Trial, options: { readonly group?: string }): Promise<void> {
  const { claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination(`end-${options.group ?? 'default'}`, 'CRITICAL')
  const settling = new Settling(trial)
  const inbox = await trial.subscribe(driver, orders, { ...options, onDelivery: () => {} })
  const sent = trial.messages(orders, 12)
  await trial.confirm(driver, sent)
  for (const delivery of await trial.has(inbox, sent.length)) settling.ack(delivery)
  await trial.unsubscribe(inbox)
  await settling.all(true, 'a subscription that is closed flushes its acks')
  const rule = 'what was acknowledged before a close is gone for good'
  claims.sameIds(await remains(trial, orders, [], options), [], rule)
}

/** As another client sees it, where nothing that was acknowledged can be read any more. */
async function excludedOutside(trial: Trial, orders: Destination, ids: readonly string[]): Promise<void> {
  const { history, sharing } = trial.capabilities
  if (trial.harness.read === undefined || history || sharing === 'partition') return
  const stored = await trial.storedIds(orders, 0)
  trial.claims.excludes(stored, ids, 'another client does not find what was acknowledged')
}

async function settlesTwice(trial: Trial): Promise<void> {
  const { claims } = trial
  const driver = await trial.open()
  const orders = await trial.destination()
  const inbox = await trial.subscribe(driver, orders, { onDelivery: () => {} })
  const sent = trial.messages(orders, 10)
  await trial.confirm(driver, sent)
  const held = [...(await trial.has(inbox, sent.length))]
  const ids = inbox.ids
  const { requeue } = trial.capabilities
  type Way = 'ack' | 'requeue'
  const ways: [number, Way, Way][] = [[0, 'ack', 'ack'], ...(requeue ? WITH_REQUEUE : [])]

  /** The second call comes when the first one is answered, or right behind it. */
  for (const [index, first, second] of ways) {
    for (const [offset, waits] of [true, false].entries()) {
      const delivery = held[2 * index + offset] as Delivery
      const [one, two] = [new Settling(trial), new Settling(trial)]
      one[first](delivery)
      if (waits) await one.all(true, `${first} of an open delivery answers true`)
      two[second](delivery)
      await two.all(first === second, `a second call is harmless: ${second} after ${first}`)
      await one.all(true, `${first} of an open delivery answers true, whatever follows`)
    }
  }

  const givenBack = requeue ? ids.slice(4, 8) : []
  const open = requeue ? ids.slice(8) : ids.slice(2)
  await trial.has(inbox, sent.length + givenBack.length, 'what was given back first comes again')
  const late = new Settling(trial)
  for (const delivery of held.slice(4, 8)) if (requeue) late.ack(delivery)
  await late.all(false, 'a delivery that was given back is not acknowledged any more')
  await trial.quiet()
  claims.sameIds(inbox.ids, [...ids, ...givenBack], 'a second call brings nothing more than the first')

  const more = trial.message(orders)
  await trial.confirm(driver, [more])
  await trial.until(() => inbox.ids.includes(more.id), 'the subscription goes on after a second call')
  trial.check(inbox.end === undefined, 'a second call does not end the subscription')
  await trial.unsubscribe(inbox)
  const left = [...open, ...givenBack, more.id]
  const rule = 'a second call settles nothing else, and takes nothing back'
  claims.sameIds(await remains(trial, orders, left), left, rule)
}

const WITH_REQUEUE: [number, 'ack' | 'requeue', 'ack' | 'requeue'][] = [
  [1, 'ack', 'requeue'],
  [2, 'requeue', 'ack'],
  [3, 'requeue', 'requeue'],
]

async function deliversOutside(trial: Trial, prefetch: number): Promise<void> {
  const { claims, random } = trial
  const driver = await trial.open()
  const orders = await trial.destination(`by-${prefetch}`)
  const sent = trial.messages(orders, 30)
  await trial.confirm(driver, sent)
  const settling = new Settling(trial)
  const open: Delivery[] = []
  const acked = new Set<string>()
  const requeued = new Set<string>()
  let inside = 0
  const settle = (delivery: Delivery): void => {
    const id = idOf(delivery.body) ?? '?'
    const givesBack = trial.capabilities.requeue && !requeued.has(id) && random.next() < 0.3
    if (givesBack) {
      requeued.add(id)
      settling.requeue(delivery)
    } else {
      acked.add(id)
      settling.ack(delivery)
    }
  }
  const inbox = await trial.subscribe(driver, orders, {
    prefetch,
    onDelivery(delivery) {
      if (settling.inside) inside++
      // Some right away, from within; the others later.
      if (open.length === 0 && random.next() < 0.3) settle(delivery)
      else open.push(delivery)
    },
  })
  while (acked.size < sent.length) {
    const rule = 'deliveries go on as they are settled'
    await trial.until(() => open.length > 0 || acked.size === sent.length, rule)
    for (const delivery of open.splice(0)) settle(delivery)
    claims.equal(inside, 0, 'nothing is delivered from within ack or requeue')
  }
  await settling.all(true, 'ack and requeue of an open delivery answer true')
  claims.equal(inside, 0, 'nothing is delivered from within ack or requeue')
  trial.evidence ??= 'round-trip'
  claims.sameSet(inbox.ids, idsOf(sent), 'everything is delivered all the same')
}
