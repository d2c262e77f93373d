import type { Delivery } from '@notify/core'
import { delivering, deliveryLike, fingerprint, open, subscriptionLike } from './deliveries.ts'
import { like, type Saboteur } from './saboteur.ts'

export const SETTLEMENT: readonly Saboteur[] = [
  {
    name: 'ack-forgotten',
    case: 'ACK-01',
    caught: /what was acknowledged is gone for good/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => deliveryLike(delivery, { ack: async () => true })),
  },
  {
    name: 'ack-forgotten-the-second-time',
    case: 'ACK-01',
    caught: /what was acknowledged is gone for good/,
    sabotage() {
      const seen = new Set<string>()
      return (driver) =>
        delivering(driver, (delivery) => {
          const isNew = !seen.has(fingerprint(delivery))
          seen.add(fingerprint(delivery))
          return isNew ? delivery : deliveryLike(delivery, { ack: async () => true })
        })
    },
  },
  {
    name: 'acks-another',
    case: 'ACK-01',
    caught: /what was acknowledged is gone for good, and nothing else/,
    sabotage: () => (driver) => {
      const all: Delivery[] = []
      return delivering(driver, (delivery) => {
        all.push(delivery)
        return deliveryLike(delivery, { ack: () => (all.pop() as Delivery).ack() })
      })
    },
  },
  {
    name: 'close-drops-acks',
    case: 'ACK-01',
    caught: /what was acknowledged before a close is gone for good/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          let closing = false
          const late = (delivery: Delivery): Delivery =>
            deliveryLike(delivery, {
              // Collected for a while, as to send several together.
              async ack() {
                await new Promise((resolve) => setTimeout(resolve, 5))
                return closing || (await delivery.ack())
              },
            })
          const subscription = await open(driver, source, (each) => onDelivery(late(each)), options)
          return subscriptionLike(subscription, {
            close(call) {
              closing = true
              return subscription.close(call)
            },
          })
        },
      }),
  },
  {
    name: 'never-redelivers',
    case: 'ACK-02',
    caught: /what is given back is delivered again/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => deliveryLike(delivery, { requeue: () => delivery.ack() })),
  },
  {
    name: 'requeue-keeps',
    case: 'ACK-02',
    caught: /what is given back is delivered again/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => deliveryLike(delivery, { requeue: async () => true })),
  },
  {
    name: 'requeues-once',
    case: 'ACK-04',
    caught: /however often it is given back, it comes again/,
    sabotage() {
      const requeued = new Set<string>()
      return (driver) =>
        delivering(driver, (delivery) =>
          deliveryLike(delivery, {
            requeue(options) {
              const name = fingerprint(delivery)
              if (requeued.has(name)) return delivery.ack()
              requeued.add(name)
              return options === undefined ? delivery.requeue() : delivery.requeue(options)
            },
          }),
        )
    },
  },
  {
    name: 'delivery-limit',
    case: 'ACK-04',
    caught: /however often it is given back, it comes again/,
    sabotage() {
      const counts = new Map<string, number>()
      return (driver) =>
        delivering(driver, (delivery) =>
          deliveryLike(delivery, {
            requeue() {
              const name = fingerprint(delivery)
              counts.set(name, (counts.get(name) ?? 0) + 1)
              // Of its own accord, as RabbitMQ since 4.0.
              return (counts.get(name) ?? 0) > 20 ? delivery.ack() : delivery.requeue()
            },
          }),
        )
    },
  },
  {
    name: 'second-settle-throws',
    case: 'ACK-06',
    caught: /a second call is harmless: ack after ack: it rejected/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => {
        let settled = false
        const once = (settle: () => Promise<boolean>): Promise<boolean> => {
          if (settled) return Promise.reject(new Error('this delivery is settled'))
          settled = true
          return settle()
        }
        return deliveryLike(delivery, {
          ack: () => once(() => delivery.ack()),
          requeue: (options) =>
            once(() => (options === undefined ? delivery.requeue() : delivery.requeue(options))),
        })
      }),
  },
  {
    name: 'second-settle-ends-all',
    case: 'ACK-06',
    caught: /what was given back first comes again|the subscription goes on after a second call/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          // As on a channel that its broker closes for an acknowledgement too many.
          let isOver = false
          const guarded = (delivery: Delivery): Delivery => {
            let settled = false
            return deliveryLike(delivery, {
              ack() {
                if (settled) isOver = true
                settled = true
                return delivery.ack()
              },
            })
          }
          return await open(
            driver,
            source,
            (delivery) => {
              if (!isOver) onDelivery(guarded(delivery))
            },
            options,
          )
        },
      }),
  },
  {
    name: 'last-call-wins',
    case: 'ACK-06',
    caught: /a second call is harmless|whatever follows/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => {
        let pending: 'ack' | 'requeue' | undefined
        const settle = async (how: 'ack' | 'requeue'): Promise<boolean> => {
          pending = how
          await new Promise((resolve) => setImmediate(resolve))
          return pending === 'ack' ? await delivery.ack() : await delivery.requeue()
        }
        return deliveryLike(delivery, { ack: () => settle('ack'), requeue: () => settle('requeue') })
      }),
  },
  {
    name: 'delivers-inside-settle',
    case: 'ACK-15',
    caught: /nothing is delivered from within ack or requeue/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe(source, onDelivery, options) {
          const waiting: Delivery[] = []
          let unsettled = 0
          const next = (): void => {
            const delivery = unsettled < options.prefetch ? waiting.shift() : undefined
            if (delivery === undefined) return
            unsettled++
            const settled = (outcome: Promise<boolean>): Promise<boolean> => {
              unsettled--
              next()
              return outcome
            }
            onDelivery(
              deliveryLike(delivery, {
                ack: () => settled(delivery.ack()),
                requeue: () => settled(delivery.requeue()),
              }),
            )
          }
          const take = (delivery: Delivery): void => {
            waiting.push(delivery)
            next()
          }
          return open(driver, source, take, { ...options, prefetch: options.prefetch + 5 })
        },
      }),
  },
]
