/** What `publish` owes its caller, whatever it is handed and whenever. */
import type { Destination, Driver, OutboundMessage } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { batchesOf, Link } from '../scenes/link.ts'
import { mixed, type Refusal, refusals } from '../scenes/refusals.ts'
import { Sightings } from '../scenes/sightings.ts'
import { ABORTED, type Trial } from '../trial.ts'

const ROUNDS = 6

export const DUTIES: readonly Definition[] = [
  {
    id: 'CNF-08',
    title:
      'MUST neither throw nor reject from publish, and settle each message: hostile, unconnected, cut, closed',
    needs: [],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      const orders = await trial.destination()
      const driver = await trial.open()
      await trial.confirm(driver, [trial.message(orders)])
      await trial.publish(driver, [])
      await hostile(trial, driver, orders)
      await aborted(trial, driver, orders)
      const { broker, faults } = trial.harness
      if (broker.address !== undefined) await unconnected(trial, orders)
      if (broker.address !== undefined || faults?.cut !== undefined) await cut(trial, orders)
      trial.confirmed(await trial.publish(driver, [trial.message(orders)]), 'after all that it still works')
      await closed(trial, driver, orders)
    },
  },
  {
    id: 'CNF-09',
    title: 'MUST settle each message once per call: under refusal, abort, cut and close, and after them',
    needs: [],
    budgetMs: 60_000,
    exclusive: true,
    async prove(trial) {
      const { broker, faults } = trial.harness
      const [orders, full] = [await trial.destination(), await trial.destination('full')]
      const breaks = broker.address !== undefined || faults?.cut !== undefined
      const link = breaks ? await Link.open(trial) : undefined
      const driver = await (link ?? trial).open()
      await trial.confirm(driver, [trial.message(orders)])
      await trial.confirm(driver, [trial.message(full)])
      if (faults?.refuse !== undefined) await trial.fault('refuse', full)

      const calls: Call[] = []
      const settled = async (): Promise<void> => {
        for (const call of calls) await trial.settled(call)
      }
      for (let round = 0; round < ROUNDS; round++) {
        const isCut = round % 2 === 1
        const hand = (): void => {
          calls.push(...allKinds(trial, driver, orders, full))
          if (round % 3 > 0) abortSome(trial, calls)
        }
        if (isCut && link !== undefined) await link.cutUnder(hand)
        else hand()
        await settled()
      }
      if (link?.proxy !== undefined) calls.push(...(await answeredAfterAbort(trial, link, driver, orders)))

      calls.push(...allKinds(trial, driver, orders, full))
      const closing = trial.close(driver)
      abortSome(trial, calls)
      calls.push(...allKinds(trial, driver, orders, full))
      await link?.cut()
      await closing
      calls.push(...allKinds(trial, driver, orders, full))
      await settled()
      for (let rest = 0; rest < 2; rest++) await trial.quiet()

      const again = calls.flatMap((call) => call.settledAgain)
      trial.claims.sameIds(again, [], 'what is settled is not settled again, whatever comes then')
      const strangers = calls.reduce((sum, call) => sum + call.strangers, 0)
      trial.claims.equal(strangers, 0, 'a call settles its own messages and no others')
    },
  },
]

/** What no program can emit through core, and anybody can hand to a driver. All of it has the types that it must have. */
function strangeFields({ topic, priority }: Destination): Partial<OutboundMessage>[] {
  const headers = (entries: Record<string, string>) => ({ headers: entries })
  const named = (odd: string) => ({
    destination: { topic: odd, priority, name: `${odd}.${priority.toLowerCase()}` },
  })
  return [
    { body: new Uint8Array(0) },
    { body: new Uint8Array(new ArrayBuffer(64), 7, 20) },
    headers({ '': 'no name' }),
    headers({ 'white space': '' }),
    headers({ nul: '\0' }),
    headers({ lines: 'a\r\nb: c' }),
    headers({ half: '\ud800' }),
    headers({ ['n'.repeat(200)]: 'long' }),
    headers(JSON.parse('{ "__proto__": "own", "constructor": "own" }') as Record<string, string>),
    headers(Object.assign(Object.create(null), { bare: 'no prototype' }) as Record<string, string>),
    headers(Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`many-${index}`, 'value']))),
    { key: '' },
    { key: '\0\ud800' },
    { key: 'k'.repeat(5_000) },
    { contentType: '' },
    { contentType: 'text/plain\r\nx: y' },
    { contentType: 't'.repeat(5_000) },
    { id: '' },
    { id: 'i'.repeat(5_000) },
    { id: '\ud800\0' },
    { dedupId: '' },
    { dedupId: 'd'.repeat(5_000) },
    named(`${topic}-${'x'.repeat(1_000)}`),
    named(''),
  ]
}

async function hostile(trial: Trial, driver: Driver, orders: Destination): Promise<void> {
  for (const fields of strangeFields(orders)) {
    const strange = Object.freeze(trial.message(orders, fields))
    // One call is for one destination.
    const [before, after] = trial.messages(strange.destination, 2) as [OutboundMessage, OutboundMessage]
    for (const call of await trial.publishAll(driver, [before, strange, after])) {
      if (strange.destination !== orders) continue
      for (const [index, message] of call.batch.entries()) {
        const outcome = call.outcome(index)
        const isFine = outcome === 'confirmed' || (typeof outcome === 'object' && outcome.reason === 'split')
        const difference = typeof outcome === 'object' ? outcome.code : 'never settled'
        if (message !== strange) trial.check(isFine, 'hostile company does no harm', difference)
      }
    }
  }
}

async function aborted(trial: Trial, driver: Driver, orders: Destination): Promise<void> {
  const batch = (): OutboundMessage[] => trial.messages(orders, Math.min(5, trial.capabilities.maxBatch))
  await trial.publish(driver, batch(), { signal: AbortSignal.abort(ABORTED) })
  const call = trial.send(driver, batch())
  call.abort(ABORTED)
  await trial.settled(call)
  await trial.publish(driver, batch(), { timeoutMs: 1 })
}

/** Nobody is there. */
async function unconnected(trial: Trial, orders: Destination): Promise<void> {
  const link = await Link.open(trial)
  await link.wire.refuse()
  const driver = await link.open()
  const batches = batchesOf(trial, 3, (count) => trial.messages(orders, count))
  const calls = batches.map((batch) => trial.send(driver, batch))
  for (const call of calls) {
    await trial.settled(call)
    const rule = 'nothing is confirmed where nobody is'
    trial.claims.sameIds(idsOf(call.confirmed), [], rule)
  }
}

/** Connections end while calls are handed over, and a call is cut in two. */
async function cut(trial: Trial, orders: Destination): Promise<void> {
  const link = await Link.open(trial)
  const driver = await link.open()
  await trial.confirm(driver, [trial.message(orders)])
  for (let round = 0; round < ROUNDS; round++) {
    const batches = batchesOf(trial, 4, (count) => trial.messages(orders, count))
    await link.cutMidway(driver, batches, trial.random.between(1, 1_000))
  }
}

/** A close overtakes what is handed over, and more comes while it is under way, and after it. */
async function closed(trial: Trial, driver: Driver, orders: Destination): Promise<void> {
  const batches = batchesOf(trial, 3, (count) => trial.messages(orders, count))
  const calls = batches.map((batch) => trial.send(driver, batch))
  const closing = trial.close(driver)
  calls.push(trial.send(driver, [trial.message(orders)]))
  await closing
  calls.push(trial.send(driver, trial.messages(orders, Math.min(5, trial.capabilities.maxBatch))))
  for (const call of calls) await trial.settled(call)
}

/** Calls of what is valid, invalid, and refused by the broker. */
function allKinds(trial: Trial, driver: Driver, orders: Destination, full: Destination): Call[] {
  const count = Math.min(5, trial.capabilities.maxBatch)
  const invalid = refusals(trial).at(-1) as Refusal
  return [trial.messages(full, count), mixed(trial, orders, count, [0, 2], invalid)].map((batch) =>
    trial.send(driver, batch),
  )
}

/** Now, in a moment, when its first message is settled, or not at all. */
function abortSome(trial: Trial, calls: readonly Call[]): void {
  for (const call of calls.filter(({ open }) => open.length > 0)) {
    const when = trial.random.between(0, 3)
    const abort = (): void => call.abort(ABORTED)
    if (when === 0) abort()
    else if (when === 1) queueMicrotask(abort)
    else if (when === 2) setImmediate(abort)
  }
}

/** The answers come when everybody has been told already. */
async function answeredAfterAbort(
  trial: Trial,
  link: Link,
  driver: Driver,
  orders: Destination,
): Promise<Call[]> {
  const { wire } = link
  await link.back(driver, orders)
  const batches = batchesOf(trial, 2, (count) => trial.messages(orders, count))
  const sightings = new Sightings(wire.up, batches.flat())
  wire.down.hold()
  const calls = batches.map((batch) => trial.send(driver, batch))
  await sightings.gone(trial.times.deliverMs)
  for (const call of calls) call.abort(ABORTED)
  for (const call of calls) await trial.settled(call)
  wire.down.release()
  await trial.quiet()
  return calls
}
