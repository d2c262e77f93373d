/** What was published is there, and comes. */
import type { Delivery } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { arrived, atBothEnds, delivered } from '../checks/arrival.ts'
import { idOf } from '../inbox.ts'
import { flood } from '../scenes/flood.ts'
import { assorted } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'
import { CALLS } from './calls.ts'
import { DESTINATIONS } from './destinations.ts'
import { GROUPS } from './groups.ts'

const BASICS: readonly Definition[] = [
  {
    id: 'DEL-01',
    title: 'MUST store what it confirms, and deliver it, with body and headers as they were published',
    needs: ['stored'],
    budgetMs: 20_000,
    async prove(trial) {
      await atBothEnds(trial, (destination) => assorted(trial, destination, 12), {
        async publish(driver, messages) {
          for (const message of messages) trial.confirmed(await trial.publish(driver, [message]))
        },
      })
    },
  },
  {
    id: 'DEL-02',
    title: 'MUST store and deliver each message exactly once while nothing goes wrong',
    needs: ['stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await trial.destination('at-rest')
      const kept = trial.messages(rest, 400)
      await flood(trial, driver, kept)
      const stored = await trial.storedIds(rest, kept.length)
      trial.claims.sameIds(stored, idsOf(kept), 'each message is stored exactly once')

      if (!trial.subscribes) return
      const onward = await trial.destination('onward')
      const acknowledge = inTens(trial)
      const inbox = await trial.subscribe(driver, onward, { prefetch: 50, onDelivery: acknowledge.late })
      const sent = trial.messages(onward, 400)
      await flood(trial, driver, sent)
      await trial.has(inbox, sent.length)
      acknowledge.rest()
      await trial.quiet()
      trial.claims.sameIds(inbox.ids, idsOf(sent), 'each message is delivered exactly once')
    },
  },
  {
    id: 'DEL-03',
    title: 'MUST lose nothing of a thousand messages and more in concurrent calls',
    needs: ['stored'],
    budgetMs: 120_000,
    async prove(trial) {
      const [driver, other] = [await trial.open(), await trial.open()]
      const [rest, onward] = [await trial.destination('at-rest'), await trial.destination('onward')]
      const inbox = trial.subscribes ? await trial.subscribe(await trial.open(), onward) : undefined
      const [kept, sent] = [assorted(trial, rest, 1_200), assorted(trial, onward, 1_200)]
      await Promise.all([flood(trial, driver, kept), flood(trial, other, sent)])
      arrived(trial, await trial.stored(rest, kept.length), kept, 'in the broker')
      if (inbox !== undefined) await delivered(trial, inbox, sent)
    },
  },
  {
    id: 'DEL-04',
    title: 'MUST keep in the default group what is published while nobody consumes',
    needs: ['subscribe', 'stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await trial.destination('never-consumed')
      const unheard = trial.messages(rest, 5)
      await trial.confirm(driver, unheard)
      const stored = await trial.storedIds(rest, unheard.length)
      trial.claims.sameIds(stored, idsOf(unheard), 'the broker has what nobody consumes')

      const orders = await trial.destination()
      const before = trial.messages(orders, 20)
      await trial.confirm(driver, before)
      await trial.close(driver)
      const consuming = await trial.open()
      const first = await trial.subscribe(consuming, orders)
      await trial.has(first, before.length, 'what was published before the first consumer is delivered')
      trial.claims.sameIds(first.ids, idsOf(before), 'the first consumer gets what was there before it')
      await trial.unsubscribe(first)

      const between = trial.messages(orders, 20)
      await trial.confirm(await trial.open(), between)
      const second = await trial.subscribe(consuming, orders)
      await trial.has(second, between.length, 'what was published between two consumers is delivered')
      trial.claims.sameIds(second.ids, idsOf(between), 'the next consumer gets what was published meanwhile')
    },
  },
  {
    id: 'DEL-10',
    title: 'MUST close a subscription to which nothing comes in bounded time, and leave nothing of it',
    needs: ['subscribe', 'stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const [idle, paused] = [await trial.destination('idle'), await trial.destination('paused')]
      const first = await trial.subscribe(driver, idle)
      const second = await trial.subscribe(driver, paused)
      await trial.quiet()
      await trial.ends(() => second.subscription.pause(), CLOSE_MS, 'a subscription pauses in bounded time')
      await Promise.all([trial.unsubscribe(first, CLOSE_MS), trial.unsubscribe(second, CLOSE_MS)])
      await trial.until(() => first.end === null && second.end === null, 'a subscription ends with its close')

      for (const inbox of [first, second]) {
        const late = trial.messages(inbox.destination, 3)
        await trial.confirm(driver, late)
        const stored = await trial.storedIds(inbox.destination, late.length)
        trial.claims.sameIds(stored, idsOf(late), 'a closed subscription takes nothing')
        trial.claims.equal(inbox.deliveries.length, 0, 'a closed subscription delivers nothing')
      }
    },
  },
  {
    id: 'DEL-16',
    title: 'MUST deliver again what was given back with a delay: not early, and not lost',
    needs: ['delay', 'subscribe', 'stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await trial.destination('at-rest')
      const kept = trial.messages(rest, 2)
      await trial.confirm(driver, kept)
      const stored = await trial.storedIds(rest, kept.length)
      trial.claims.sameIds(stored, idsOf(kept), 'what is to be delayed later is stored')

      const orders = await trial.destination()
      const sent = trial.messages(orders, 7)
      const [parting = '', longest = '', twice = '', once = '', atOnce = '', tooLong = '', plain = ''] =
        idsOf(sent)
      const maxMs = trial.capabilities.delay === false ? 0 : trial.capabilities.delay.maxMs
      const patience = new Patience(
        trial,
        new Map([
          [parting, [Math.min(900, maxMs)]],
          [longest, [Math.min(maxMs, LONGEST_MS)]],
          [twice, [Math.min(300, maxMs), Math.min(600, maxMs)]],
          [once, [Math.min(500, maxMs)]],
          [atOnce, [0]],
        ]),
      )
      // The one that is away when its subscription ends finds the next one.
      const first = await trial.subscribe(driver, orders, {
        onDelivery: (delivery) => patience.take(delivery),
      })
      await trial.confirm(driver, sent.slice(0, 1))
      await trial.has(first, 1)
      await patience.handedBack()
      await trial.unsubscribe(first)

      const refused: Promise<void>[] = []
      const inbox = await trial.subscribe(driver, orders, {
        onDelivery(delivery) {
          if (idOf(delivery.body) !== tooLong) return patience.take(delivery)
          const refusing = refuses(trial, delivery)
          refusing.catch(() => {})
          refused.push(refusing)
        },
      })
      await trial.confirm(driver, sent.slice(1))
      await trial.until(
        () => [parting, twice, once, atOnce, plain].every((id) => patience.isDone(id)),
        'what was given back with a delay is delivered again',
        trial.times.deliverMs + 900,
      )
      await patience.handedBack()
      await Promise.all(refused)
      if (maxMs > FAR_OFF_MS) {
        trial.claims.equal(inbox.of(longest).length, 1, 'what has the longest delay does not come back yet')
      }
      trial.claims.sameIds(
        inbox.ids.filter((id) => id !== longest),
        [parting, twice, twice, twice, once, once, atOnce, atOnce, tooLong, plain],
        'each comes once more for each time that it was given back',
      )
    },
  },
]

export const DELIVERY: readonly Definition[] = [...BASICS, ...DESTINATIONS, ...GROUPS, ...CALLS]

const CLOSE_MS = 3_000

/** Acknowledges late, ten at a time, the last one first. */
function inTens(trial: Trial): { late(delivery: Delivery): void; rest(): void } {
  const held: Delivery[] = []
  const rest = (): void => {
    for (const delivery of held.splice(0).reverse()) trial.acknowledge(delivery)
  }
  return {
    rest,
    late(delivery) {
      if (held.push(delivery) === 10) rest()
    },
  }
}

/** Gives each message back with the delays that it has in store, then acknowledges it; looks whether any is early. */
class Patience {
  readonly #trial: Trial
  readonly #delays: ReadonlyMap<string, number[]>
  readonly #due = new Map<string, number>()
  readonly #done = new Set<string>()
  readonly #handed: Promise<boolean>[] = []
  #early: string | undefined

  constructor(trial: Trial, delays: ReadonlyMap<string, number[]>) {
    this.#trial = trial
    this.#delays = delays
  }

  take(delivery: Delivery): void {
    const id = idOf(delivery.body) ?? '?'
    const early = (this.#due.get(id) ?? 0) - this.#trial.elapsedMs
    if (early > GRAIN_MS) this.#early ??= `${id} came ${Math.round(early)} ms before its time`
    const delayMs = this.#delays.get(id)?.shift()
    if (delayMs === undefined) {
      this.#done.add(id)
      this.#trial.acknowledge(delivery)
      return
    }
    this.#due.set(id, this.#trial.elapsedMs + delayMs)
    const handed = (async () => delivery.requeue({ delayMs }))()
    // It is asked for later.
    handed.catch(() => {})
    this.#handed.push(handed)
  }

  isDone(id: string): boolean {
    this.#trial.check(this.#early === undefined, 'nothing is delivered before its delay is over', this.#early)
    return this.#done.has(id)
  }

  /** All that was given back is with the broker. */
  async handedBack(): Promise<void> {
    for (const handed of this.#handed) {
      const answer = await this.#trial.ends(() => handed, 5_000, 'requeue is answered')
      this.#trial.claims.equal(answer, true, 'requeue of an open delivery is true')
    }
  }
}

/** More than anybody waits for, and than a timer of 32 bits can. */
const LONGEST_MS = 2 ** 53 - 1
/** Longer than this case takes. */
const FAR_OFF_MS = 120_000
/** A broker's clock has a grain. */
const GRAIN_MS = 2

/** What is more than the driver says it can is refused, and the delivery stays open. */
async function refuses(trial: Trial, delivery: Delivery): Promise<void> {
  const { delay } = trial.capabilities
  const delayMs = (delay === false ? 0 : delay.maxMs) + 1
  if (Number.isFinite(delayMs)) {
    const rule = 'a delay above delay.maxMs is refused'
    const error = await trial.rejects(() => delivery.requeue({ delayMs }), 5_000, rule)
    trial.claims.equal((error as { code?: string } | undefined)?.code, 'UNSUPPORTED', rule)
  }
  const open = await trial.ends(() => delivery.ack(), 5_000, 'ack resolves')
  trial.claims.equal(open, true, 'a delivery whose requeue was refused is still open')
}
