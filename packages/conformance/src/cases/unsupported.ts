/** What the capabilities rule out. */
import type { Delivery } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { rejectedWith } from '../checks/failures.ts'
import { remains } from '../checks/remains.ts'
import { Inbox } from '../inbox.ts'
import { ruledOut } from '../scenes/provoked.ts'
import { PATIENCE_MS, type Trial } from '../trial.ts'

const UNSUPPORTED = { code: 'UNSUPPORTED', retryable: false } as const

export const REFUSALS: readonly Definition[] = [
  {
    id: 'NEG-01',
    title: 'MUST refuse what its capabilities rule out, with UNSUPPORTED',
    needs: ['subscribe'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      for (const { what, options } of ruledOut(trial)) {
        const { error } = await trial.trySubscribe(driver, orders, options)
        rejectedWith(trial.claims, error, UNSUPPORTED, `what is declared unsupported is refused: ${what}`)
      }
      const inbox = await trial.subscribe(driver, orders, { onDelivery: LEAVE_OPEN, prefetch: 1 })
      const [delivery] = await trial.has(inbox, 1)
      const counts = delivery?.deliveries !== undefined
      const rule = 'deliveries are counted where the capabilities say so, and only there'
      trial.claims.equal(counts, trial.capabilities.deliveryCount, rule)
      await refuseRequeues(trial, delivery as Delivery)
    },
  },
  {
    id: 'ERR-02',
    title: 'MUST do nothing of what it refuses with UNSUPPORTED: no consumer, and the delivery still open',
    needs: ['subscribe'],
    budgetMs: 40_000,
    async prove(trial) {
      const { claims } = trial
      const driver = await trial.open()
      const orders = await trial.destination()
      const published = trial.messages(orders, 2)
      await trial.confirm(driver, published)
      const refused: Inbox[] = []
      for (const { options } of ruledOut(trial)) {
        const inbox = new Inbox(orders)
        refused.push(inbox)
        const { error } = await trial.trySubscribe(driver, orders, options, inbox)
        claims.check(error !== undefined, 'what is declared unsupported is refused')
        if (trial.harness.read === undefined) continue
        const reader = await trial.reader(orders)
        for (const group of [undefined, options.group]) {
          claims.equal(await reader.consumers(group), 0, 'a subscribe that is refused opens no consumer')
        }
      }

      const inbox = await trial.subscribe(driver, orders, { onDelivery: LEAVE_OPEN, prefetch: 1 })
      const [first] = await trial.has(inbox, 1, 'what a refused subscribe could have had is for others')
      await refuseRequeues(trial, first as Delivery)
      // With a prefetch of one, whatever comes now says that the first one is not open any more.
      const open = 'a delivery whose requeue is refused is still open'
      await trial.never(() => inbox.deliveries.length > 1, open)
      claims.equal(await acknowledge(trial, first), true, open)
      const [, second] = await trial.has(
        inbox,
        2,
        'after a delivery whose requeue was refused the next one comes',
      )
      claims.equal(await acknowledge(trial, second), true, 'an open delivery can be acknowledged')
      await trial.unsubscribe(inbox)
      const rule = 'a requeue that is refused gives nothing back'
      claims.sameIds(inbox.ids, idsOf(published), rule)
      claims.excludes(await remains(trial, orders, []), idsOf(published), rule)
      for (const { deliveries } of refused) {
        claims.equal(deliveries.length, 0, 'a subscribe that is refused brings nothing')
      }
    },
  },
]

const LEAVE_OPEN = (): void => {}

/** Everything that may not be asked of an open delivery. */
async function refuseRequeues(trial: Trial, delivery: Delivery): Promise<void> {
  const { requeue, delay } = trial.capabilities
  const asked = [
    ...(requeue ? [] : [undefined]),
    ...(requeue && delay !== false ? [] : [{ delayMs: 10 }]),
    ...(delay === false || !Number.isFinite(delay.maxMs) ? [] : [{ delayMs: delay.maxMs + 1 }]),
  ]
  for (const options of asked) {
    const what = `requeue(${options === undefined ? '' : `{ delayMs: ${options.delayMs} }`})`
    const rule = `what is declared unsupported is refused: ${what}`
    const error = await trial.rejects(() => delivery.requeue(options), PATIENCE_MS, rule)
    rejectedWith(trial.claims, error, UNSUPPORTED, rule)
  }
}

function acknowledge(trial: Trial, delivery: Delivery | undefined): Promise<boolean | undefined> {
  return trial.ends(() => delivery?.ack(), PATIENCE_MS, 'ack resolves')
}
