/** What a confirmation is worth. */
import type { Destination, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import { heapBytes } from '../process/heap.ts'
import { mostInFlight, Pressure } from '../scenes/pressure.ts'
import type { Trial } from '../trial.ts'
import { DUTIES } from './duties.ts'
import { KILLS } from './kills.ts'
import { OUTCOMES } from './outcomes.ts'
import { PREFIX } from './prefix.ts'
import { WIRES } from './wires.ts'

/** For how long a broker is silent that is a process of its own; one that is not has no timers that could fire. */
const STALL_MS = 10_000
const STALL_IN_PROCESS_MS = 1_000
/** What a process may gain while it does nothing. */
const NOISE_BYTES = 8 * 2 ** 20

const OTHERS: readonly Definition[] = [
  {
    id: 'DUP-02',
    title: 'MUST store one id on two topics, and as dead letters, each for itself',
    needs: ['stored'],
    budgetMs: 20_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination('orders')
      const urgent = await trial.destination('orders', 'ERROR')
      const invoices = await trial.destination('invoices')
      const dead = deadLettersOf(orders)
      const ids = trial.messages(orders, 10).map(({ id }) => id)
      const to = (destination: Destination, dedupId?: (id: string) => string): OutboundMessage[] =>
        ids.map((id) =>
          trial.message(destination, { id, ...(dedupId === undefined ? {} : { dedupId: dedupId(id) }) }),
        )
      // As core names them: each source and each group has dead letters of its own.
      const letters = [orders, invoices].flatMap(({ name }) =>
        ['', 'billing'].map((group) => to(dead, (id) => `${id}/${name}/dead/${group}`)),
      )
      const all = [[to(orders)], letters, [to(urgent)], [to(invoices)]]
      await Promise.all(
        all.map(async (batches) => {
          for (const batch of batches) await trial.confirm(driver, batch)
        }),
      )
      for (const destination of [orders, urgent, invoices, dead]) {
        const sent = all.flat(2).filter((message) => message.destination === destination)
        const stored = await trial.storedIds(destination, sent.length)
        const rule = 'one id is stored wherever it was published, and for each dedupId'
        trial.claims.sameIds(stored, idsOf(sent), rule)
      }
    },
  },
  {
    id: 'BPR-01',
    title:
      'MUST confirm nothing while the broker is stalled, hold no more than it was handed, and settle it all afterwards',
    needs: ['stored', 'faults.pause', 'faults.resume'],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      await trial.fault('pause')
      let resumed = false
      const resume = async (): Promise<void> => {
        if (!resumed) await trial.fault('resume')
        resumed = true
      }
      trial.after(resume)

      const batches = windowful(trial, orders)
      const pressure = new Pressure(trial, driver, { next: () => batches.shift() })
      await trial.quiet()
      const before = heapBytes()
      const isConfirmed = (): boolean => pressure.calls.some(({ confirmed }) => confirmed.length > 0)
      const stallMs = trial.harness.faults?.kill === undefined ? STALL_IN_PROCESS_MS : STALL_MS
      await trial.never(isConfirmed, 'while the broker is stalled nothing is confirmed', stallMs)
      const grown = heapBytes() - before
      trial.check(
        grown < NOISE_BYTES,
        'while the broker is stalled the heap stays flat',
        `it has grown by ${grown} bytes`,
      )
      await resume()
      await pressure.over
      for (const call of pressure.calls) await trial.settled(call, 60_000)
      const confirmed = pressure.calls.flatMap((call) => call.confirmed)
      const stored = await trial.storedIds(orders, confirmed.length + 1)
      truthful(trial.claims, pressure.calls, stored, 'after a stall')
      const after = await trial.publish(driver, [trial.message(orders)])
      trial.confirmed(after, 'after a stall publishing goes on')
    },
  },
]

export const CONFIRM: readonly Definition[] = [
  ...OUTCOMES,
  ...PREFIX,
  ...DUTIES,
  ...WIRES,
  ...OTHERS,
  ...KILLS,
]

/** As much as core would have handed over, of messages of 1 KB. */
function windowful(trial: Trial, orders: Destination): OutboundMessage[][] {
  const { maxBatch, maxMessageBytes, window } = trial.capabilities
  const size = Math.min(1_000, maxMessageBytes)
  let left = Math.min(mostInFlight(trial), Math.floor(window.bytes / (2 * size)))
  const batches: OutboundMessage[][] = []
  while (left > 0) {
    const count = Math.min(left, maxBatch, 100)
    batches.push(trial.messages(orders, count, () => ({ size })))
    left -= count
  }
  return batches
}

/** Where core writes them. */
function deadLettersOf({ topic, priority }: Destination): Destination {
  const dead = `${topic}.dead`
  return { topic: dead, priority, name: `${dead}.${priority.toLowerCase()}` }
}
