import { randomUUID } from 'node:crypto'
import type { Delivery, Driver } from '@notify/core'
import { delivering, deliveryLike, fingerprint, open, subscriptionLike } from './deliveries.ts'
import { like, type Saboteur } from './saboteur.ts'

export const KEEPING: readonly Saboteur[] = [
  {
    name: 'acks-on-receive',
    case: 'ACK-05',
    caught: /what was open at the end of the subscription comes back/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => {
        const acked = delivery.ack()
        return deliveryLike(delivery, { ack: () => acked, requeue: () => acked })
      }),
  },
  {
    name: 'acks-at-close',
    case: 'ACK-05',
    caught: /what was open at the end of the driver comes back/,
    sabotage: () => (driver) => {
      const all: Delivery[] = []
      return delivering(
        driver,
        (delivery) => {
          all.push(delivery)
          return delivery
        },
        {
          async close(call) {
            await Promise.all(all.map((delivery) => delivery.ack()))
            await driver.close(call)
          },
        },
      )
    },
  },
  {
    name: 'keeps-in-memory',
    case: 'ACK-05',
    caught: /what was open at the end of the connection comes back/,
    sabotage: () => (driver) => {
      // Acknowledged as it comes. An orderly end puts it back, and nothing else does.
      const closings = new Set<() => Promise<void>>()
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const kept = new Set<Delivery>()
          const subscription = await open(
            driver,
            source,
            (delivery) => {
              kept.add(delivery)
              void delivery.ack()
              const settle = async (): Promise<boolean> => kept.delete(delivery)
              onDelivery(deliveryLike(delivery, { ack: settle, requeue: settle }))
            },
            options,
          )
          const close = async (): Promise<void> => {
            closings.delete(close)
            await subscription.close(options)
            await Promise.all([...kept].map((delivery) => putBack(driver, delivery)))
          }
          closings.add(close)
          return subscriptionLike(subscription, { close })
        },
        async close(call) {
          for (const close of closings) await close()
          await driver.close(call)
        },
      })
    },
  },
  {
    name: 'ignores-prefetch',
    case: 'ACK-07',
    caught: /no more than prefetch deliveries are unsettled at a time/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, options) =>
          open(driver, source, onDelivery, { ...options, prefetch: options.prefetch + 1 }),
      }),
  },
  {
    name: 'prefetches-again-after-requeue',
    case: 'ACK-07',
    caught: /no more than prefetch deliveries are unsettled at a time/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe(source, onDelivery, options) {
          // What is given back counts as if it had been acknowledged twice.
          const { prefetch } = options
          const waiting: Delivery[] = []
          let room = prefetch
          const next = (): void => {
            for (; room > 0 && waiting.length > 0; room--) onDelivery(waiting.shift() as Delivery)
          }
          const settled = (outcome: Promise<boolean>, freed: number): Promise<boolean> => {
            room += freed
            setImmediate(next)
            return outcome
          }
          const take = (delivery: Delivery): void => {
            waiting.push(
              deliveryLike(delivery, {
                ack: () => settled(delivery.ack(), 1),
                requeue: () => settled(delivery.requeue(), 2),
              }),
            )
            next()
          }
          return open(driver, source, take, { ...options, prefetch: 2 * prefetch + 10 })
        },
      }),
  },
  {
    name: 'count-restarts',
    case: 'ACK-08',
    caught: /counts more: 1 after \d/,
    sabotage: () => (driver) => {
      const counts = new Map<string, number>()
      return delivering(driver, (delivery) => {
        const name = fingerprint(delivery)
        const deliveries = (counts.get(name) ?? 0) + 1
        counts.set(name, deliveries)
        return deliveryLike(delivery, { deliveries })
      })
    },
  },
  {
    name: 'count-stands-still-while-delayed',
    case: 'ACK-08',
    caught: /to come later, counts one more/,
    sabotage() {
      const delayed = new Map<string, number>()
      return (driver) =>
        delivering(driver, (delivery) => {
          const name = fingerprint(delivery)
          const deliveries = (delivery.deliveries ?? 0) - (delayed.get(name) ?? 0)
          return deliveryLike(delivery, {
            deliveries,
            requeue(options) {
              if (options === undefined) return delivery.requeue()
              delayed.set(name, (delayed.get(name) ?? 0) + 1)
              return delivery.requeue(options)
            },
          })
        })
    },
  },
  {
    name: 'counts-from-zero',
    case: 'ACK-08',
    caught: /the first delivery has the count 1/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) =>
        deliveryLike(delivery, { deliveries: (delivery.deliveries ?? 1) - 1 }),
      ),
  },
  {
    name: 'lets-lease-run-out',
    case: 'ACK-13',
    caught: /what is open is not delivered again/,
    around: 'leased',
    sabotage:
      () =>
      (driver, { leaseMs }) =>
        leased(driver, () => leaseMs),
  },
  {
    name: 'renews-leases-once',
    case: 'ACK-13',
    caught: /what is open is not delivered again/,
    around: 'leased',
    sabotage:
      () =>
      (driver, { leaseMs }) =>
        leased(driver, () => leaseMs && 2 * leaseMs),
  },
  {
    name: 'forgets-one-lease-of-ten',
    case: 'ACK-13',
    caught: /what is open is not delivered again/,
    around: 'leased',
    sabotage() {
      let deliveries = 0
      return (driver, { leaseMs }) => leased(driver, () => (deliveries++ % 10 === 9 ? leaseMs : undefined))
    },
  },
  {
    name: 'ack-lies',
    case: 'ACK-14',
    caught: /after the end of the subscription, ack and requeue answer false/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) =>
        deliveryLike(delivery, {
          async ack() {
            await delivery.ack()
            return true
          },
        }),
      ),
  },
  {
    name: 'requeue-lies-after-a-loss',
    case: 'ACK-14',
    caught: /after the end of the connection, ack and requeue answer false/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          let lost = false
          const change = (delivery: Delivery): Delivery =>
            deliveryLike(delivery, { requeue: async () => (await delivery.requeue()) || lost })
          const subscription = await open(driver, source, (each) => onDelivery(change(each)), options)
          void subscription.ended.then((reason) => {
            lost = reason !== undefined
          })
          return subscription
        },
      }),
  },
  {
    name: 'settling-throws-after-the-end',
    case: 'ACK-14',
    caught: /after the end of the subscription, ack and requeue answer false: it rejected/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          let over = false
          const change = (delivery: Delivery): Delivery =>
            deliveryLike(delivery, {
              ack() {
                if (over) throw new Error('this channel is closed')
                return delivery.ack()
              },
            })
          const subscription = await open(driver, source, (each) => onDelivery(change(each)), options)
          void subscription.ended.then(() => {
            over = true
          })
          return subscription
        },
      }),
  },
]

/** Publishes a delivery anew. */
function putBack(driver: Driver, { destination, body, contentType = '', headers }: Delivery): Promise<void> {
  const id = randomUUID()
  const message = { id, dedupId: id, destination, body, contentType, headers }
  const call = { timeoutMs: 5_000, signal: AbortSignal.timeout(5_000) }
  return new Promise((resolve) => void driver.publish([message], () => resolve(), call))
}

/** A driver whose deliveries go back after a while if they are open then. */
function leased(driver: Driver, leaseOf: () => number | undefined): Driver {
  return delivering(driver, (delivery) => {
    const leaseMs = leaseOf()
    if (leaseMs !== undefined) setTimeout(() => void delivery.requeue(), leaseMs)
    return delivery
  })
}
