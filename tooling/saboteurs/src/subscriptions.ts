import { type CallOptions, failure, type Subscription, settleAll } from '@notify/core'
import { deliveryLike, open, subscriptionLike } from './deliveries.ts'
import { pretending } from './lifecycle.ts'
import { like, type Saboteur } from './saboteur.ts'

const CLOSED = failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

/** Those that cases about the life of subscriptions catch. */
export const SUBSCRIPTIONS: readonly Saboteur[] = [
  {
    name: 'leaks-sub',
    case: 'LIF-07',
    caught: /a subscription that is closed has ended/,
    sabotage: () => (driver) => {
      let subscribed = false
      return like(driver, {
        subscribe(source, onDelivery, options) {
          subscribed = true
          return open(driver, source, onDelivery, options)
        },
        async close(call) {
          if (!subscribed) await driver.close(call)
        },
      })
    },
  },
  {
    name: 'says-that-it-ended',
    case: 'LIF-07',
    caught: /what is closed leaves no consumer/,
    sabotage: () => (driver) => {
      const ends: (() => void)[] = []
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          const { promise: ended, resolve } = Promise.withResolvers<undefined>()
          ends.push(() => resolve(undefined))
          return subscriptionLike(subscription, { ended })
        },
        async close(call) {
          if (ends.length === 0) await driver.close(call)
          for (const end of ends) end()
        },
      })
    },
  },
  {
    name: 'ends-with-a-reason',
    case: 'LIF-07',
    caught: /a subscription that is closed ends without a reason: CLOSED/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          return subscriptionLike(subscription, {
            ended: subscription.ended.then((reason) => reason ?? CLOSED),
          })
        },
      }),
  },
  {
    name: 'keeps-the-connection',
    case: 'LIF-07',
    caught: /close leaves no connection/,
    around: 'template',
    sabotage: () => (driver) => {
      const subscriptions: Subscription[] = []
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          subscriptions.push(subscription)
          return subscription
        },
        close: async (call: CallOptions) =>
          void (await Promise.all(subscriptions.map((each) => each.close(call)))),
      })
    },
  },
  {
    name: 'subscribes-after-close',
    case: 'LIF-10',
    caught: /subscribe rejects with CLOSED after close: it did not reject/,
    sabotage: () => (driver) =>
      pretending(driver, (closed) => ({
        publish(batch, settle, call) {
          if (!closed()) return driver.publish(batch, settle, call)
          settleAll(batch, settle, CLOSED)
        },
      })),
  },
  {
    name: 'rejects-and-subscribes',
    case: 'LIF-10',
    caught: /what is closed leaves no consumer/,
    sabotage: () => (driver) =>
      pretending(driver, (closed) => ({
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          if (closed()) throw CLOSED
          return subscription
        },
      })),
  },
  {
    name: 'subscribes-once',
    case: 'LIF-12',
    caught: /a subscription brings what came while there was none/,
    sabotage: () => (driver) => {
      const known = new Set<string>()
      return like(driver, {
        subscribe(source, onDelivery, options) {
          const { name } = source.destination
          const again = known.has(name)
          known.add(name)
          return open(driver, source, again ? () => {} : onDelivery, options)
        },
      })
    },
  },
  {
    name: 'clears-up-when-it-closes',
    case: 'LIF-12',
    caught: /what the one before had not settled/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const acks: (() => Promise<boolean>)[] = []
          const subscription = await open(
            driver,
            source,
            (delivery) => {
              acks.push(() => delivery.ack())
              onDelivery(deliveryLike(delivery, {}))
            },
            options,
          )
          return subscriptionLike(subscription, {
            async close(call) {
              await Promise.all(acks.map((ack) => ack()))
              await subscription.close(call)
            },
          })
        },
      }),
  },
  {
    name: 'closes-siblings',
    case: 'LIF-15',
    caught: /another one of its driver was closed|closing a subscription ends no other one/,
    sabotage: () => (driver) => {
      const subscriptions: Subscription[] = []
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          subscriptions.push(subscription)
          return subscriptionLike(subscription, {
            close: async (call) => void (await Promise.all(subscriptions.map((each) => each.close(call)))),
          })
        },
      })
    },
  },
  {
    name: 'silences-siblings',
    case: 'LIF-15',
    caught: /a subscription goes on after another one of its driver was closed/,
    sabotage: () => (driver) => {
      let closed = 0
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(
            driver,
            source,
            (delivery) => {
              if (closed < 2) onDelivery(delivery)
            },
            options,
          )
          return subscriptionLike(subscription, {
            close(call) {
              closed++
              return subscription.close(call)
            },
          })
        },
      })
    },
  },
]
