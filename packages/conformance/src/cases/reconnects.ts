/** Connections that are lost, again and again. */
import type { Delivery, Destination, Driver } from '@notify/core'
import { type Call, idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import type { Reader } from '../harness.ts'
import { type Inbox, idOf } from '../inbox.ts'
import { batchesOf, Link } from '../scenes/link.ts'
import type { Trial } from '../trial.ts'
import { until } from '../wait.ts'

const CUTS = 5
/** How long a broker may take to notice that a consumer is gone, at least. */
const BROKER_MS = 5_000

export const RECONNECTS: readonly Definition[] = [
  {
    id: 'REC-01',
    title:
      'MUST connect again with the next publish after a loss, and leave one consumer where there was one',
    needs: ['stored', 'cut'],
    budgetMs: 120_000,
    exclusive: true,
    async prove(trial) {
      const link = await Link.open(trial)
      const driver = await link.open()
      const [orders, events] = [await trial.destination('orders'), await trial.destination('events')]
      const sent = [trial.message(orders)]
      await trial.confirm(driver, sent)
      const member = trial.subscribes ? await Member.join(trial, driver, events) : undefined
      const calls: Call[] = []

      for (let round = 0; round < CUTS; round++) {
        await member?.holdsOne()
        const batches = batchesOf(trial, 3, (count) => trial.messages(orders, count))
        calls.push(...(await lose(trial, link, driver, batches, round)))
        // No other call comes before it: no health, no subscribe.
        const next = trial.message(orders)
        trial.confirmed(await trial.publish(driver, [next]), 'after a loss the next publish connects again')
        sent.push(next)
        await member?.goesOn()
      }

      const confirmed = calls.flatMap((call) => call.confirmed)
      const stored = await trial.storedIds(orders, sent.length + confirmed.length)
      trial.claims.includes(
        stored,
        idsOf([...sent, ...confirmed]),
        'what is confirmed before and after losses is there',
      )
      await member?.isOne()
    },
  },
]

/** With answers outstanding, or in good order, after what was answered. */
async function lose(
  trial: Trial,
  link: Link,
  driver: Driver,
  batches: ReturnType<typeof batchesOf>,
  round: number,
): Promise<readonly Call[]> {
  const { proxy } = link
  if (proxy === undefined || round % 2 === 0) {
    const { calls, written } =
      round % 2 === 0 ? await link.loseUnanswered(driver, batches) : await link.loseAnswers(driver, batches)
    for (const call of calls) {
      for (const message of call.batch) {
        const outcome = call.outcome(message)
        // Where there is no wire, the answer may have been there already.
        if (proxy === undefined && outcome === 'confirmed') continue
        const lost = { code: 'UNAVAILABLE', retryable: true } as const
        const rule = 'what was in flight when a connection was lost is UNAVAILABLE, to be tried again'
        trial.claims.failed(outcome, written.includes(message) ? { ...lost, maybeSent: true } : lost, rule)
      }
    }
    return calls
  }
  proxy.down.hold()
  const calls = batches.map((batch) => trial.send(driver, batch))
  proxy.finish()
  proxy.down.release()
  for (const call of calls) await trial.settled(call)
  await link.back(driver, batches[0]?.[0]?.destination as Destination)
  return calls
}

/** One member of a group, as core keeps it: what ends is opened again. */
class Member {
  readonly #trial: Trial
  readonly #driver: Driver
  readonly #events: Destination
  readonly #reader: Reader | undefined
  readonly #inboxes: Inbox[] = []
  /** How much the ended ones had brought when they ended. */
  readonly #ended = new Map<Inbox, number>()
  /** How often what is held had come before the loss. */
  #before = 0
  /** Ids that are not acknowledged for now. */
  readonly #held = new Set<string>()

  static async join(trial: Trial, driver: Driver, events: Destination): Promise<Member> {
    const member = new Member(trial, driver, events, await trial.harness.read?.(events))
    await member.#open()
    return member
  }

  constructor(trial: Trial, driver: Driver, events: Destination, reader: Reader | undefined) {
    this.#trial = trial
    this.#driver = driver
    this.#events = events
    this.#reader = reader
  }

  /** A delivery is open. */
  async holdsOne(): Promise<void> {
    const message = this.#trial.message(this.#events)
    this.#held.clear()
    this.#held.add(message.id)
    await this.#trial.confirm(this.#driver, [message])
    await this.#trial.until(() => this.#has(message.id), 'what is published is delivered')
    this.#before = this.#count(message.id)
  }

  /** After a loss it ends with its reason, and is opened again; or the client keeps it. What was open comes back. */
  async goesOn(): Promise<void> {
    const trial = this.#trial
    const inbox = this.#inbox
    const [open] = this.#held
    const before = this.#before
    this.#held.clear()
    const message = trial.message(this.#events)
    await trial.confirm(this.#driver, [message])
    const isKept = (): boolean => inbox.of(message.id).length > 0 && this.#count(open) > before
    const rule = 'after a loss a subscription ends, or goes on with what was open and what comes'
    await trial.until(() => inbox.end !== undefined || isKept(), rule, this.#patienceMs)
    if (inbox.end !== undefined) {
      this.#ended.set(inbox, inbox.deliveries.length)
      const lost = { code: 'UNAVAILABLE', retryable: true } as const
      trial.claims.failed(inbox.end ?? 'confirmed', lost, 'a subscription that a loss ends says so')
      await this.#open()
      const isBack = (): boolean => this.#count(open) > before
      await trial.until(isBack, 'what was open at a loss comes back', this.#patienceMs)
      await trial.until(() => this.#has(message.id), 'after a loss deliveries go on')
    }
    await this.#consumers()
  }

  /** In the end as well. */
  async isOne(): Promise<void> {
    await this.#trial.quiet()
    await this.#consumers()
    for (const [inbox, count] of this.#ended) {
      const rule = 'a subscription that has ended brings nothing more'
      this.#trial.claims.equal(inbox.deliveries.length, count, rule)
    }
  }

  get #patienceMs(): number {
    return Math.max(BROKER_MS, this.#trial.times.deliverMs)
  }

  get #inbox(): Inbox {
    return this.#inboxes.at(-1) as Inbox
  }

  #has(id: string): boolean {
    return this.#count(id) > 0
  }

  /** How often it has come, to whichever subscription. */
  #count(id: string | undefined): number {
    return this.#inboxes.reduce((sum, inbox) => sum + inbox.of(id ?? '').length, 0)
  }

  async #open(): Promise<void> {
    const onDelivery = (delivery: Delivery): void => {
      if (this.#held.has(idOf(delivery.body) ?? '')) return // What is lost with its connection comes again.
      ;(async () => delivery.ack())().catch(() => {})
    }
    this.#inboxes.push(await this.#trial.subscribe(this.#driver, this.#events, { onDelivery }))
  }

  async #consumers(): Promise<void> {
    const reader = this.#reader
    if (reader === undefined) return
    this.#trial.evidence = 'observed'
    let found = 0
    const isOne = async (): Promise<boolean> => {
      found = await reader.consumers()
      return found === 1
    }
    await until(isOne, this.#patienceMs)
    this.#trial.claims.equal(found, 1, 'after a loss there is one consumer where there was one')
  }
}
