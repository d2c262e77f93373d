import type { Delivery, Driver, Subscription } from '@notify/core'
import { deliveryLike, open, subscriptionLike } from './deliveries.ts'
import { like, type Saboteur } from './saboteur.ts'

export const FLOW: readonly Saboteur[] = [
  {
    name: 'close-loses-prefetched',
    case: 'CAN-03',
    caught: /a subscription that is closed at once loses nothing/,
    sabotage: () => (driver) =>
      buffering(driver, {
        more: 10,
        // What it had taken for later, it takes to be done with.
        onClose: (waiting) => waiting.map((delivery) => delivery.ack()),
      }),
  },
  {
    name: 'close-takes-its-time',
    case: 'CAN-03',
    caught: /a subscription closes at once when the signal has fired/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(...args) {
          const subscription = await open(driver, ...args)
          return subscriptionLike(subscription, {
            async close(call) {
              // As long as another poll, whatever the signal says.
              await new Promise((resolve) => setTimeout(resolve, 300))
              await subscription.close(call)
            },
          })
        },
      }),
  },
  {
    name: 'close-takes-siblings-along',
    case: 'CAN-03',
    caught: /a subscription that is closed at once leaves its siblings running/,
    sabotage: () => (driver) => {
      const all = new Set<Subscription>()
      return like(driver, {
        async subscribe(...args) {
          const subscription = await open(driver, ...args)
          all.add(subscription)
          return subscriptionLike(subscription, {
            async close(call) {
              // As by giving up a connection that they share.
              const ending = call.signal.aborted ? [...all] : [subscription]
              await Promise.all(ending.map((each) => each.close(call)))
            },
          })
        },
      })
    },
  },
  {
    name: 'close-under-a-signal-does-nothing',
    case: 'CAN-03',
    caught: /a subscription that is closed ends/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(...args) {
          const subscription = await open(driver, ...args)
          return subscriptionLike(subscription, {
            close: async (call) => (call.signal.aborted ? undefined : subscription.close(call)),
          })
        },
      }),
  },
  {
    name: 'pause-ignored',
    case: 'CAN-05',
    caught: /nothing is delivered after pause has resolved/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: async (...args) => subscriptionLike(await open(driver, ...args), { async pause() {} }),
      }),
  },
  {
    name: 'pause-swallows',
    case: 'CAN-05',
    caught: /all that was not acknowledged comes back after a pause/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          let paused = false
          const take = (delivery: Delivery): void => {
            if (paused) void delivery.ack()
            else onDelivery(delivery)
          }
          return subscriptionLike(await open(driver, source, take, options), {
            async pause() {
              paused = true
            },
          })
        },
      }),
  },
  {
    name: 'pause-ends-settling',
    case: 'CAN-05',
    caught: /ack and requeue answer true, also after pause/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: async (...args) => {
          const subscription = await open(driver, ...args)
          return subscriptionLike(subscription, { pause: () => subscription.close(args[2]) })
        },
      }),
  },
  {
    name: 'pause-is-late',
    case: 'CAN-05',
    caught: /nothing is delivered after pause has resolved, in the middle of the flow neither/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          return subscriptionLike(subscription, {
            async pause() {
              // It resolves before it has happened.
              setTimeout(() => void subscription.pause(), 20)
            },
          })
        },
      }),
  },
  {
    name: 'hoards',
    case: 'FLO-01',
    caught: /what one member does not hold, another one gets/,
    sabotage: () => (driver) =>
      buffering(driver, {
        more: 20_000,
        onClose: (waiting) => waiting.map((delivery) => delivery.requeue()),
      }),
  },
  {
    name: 'hoards-a-little',
    case: 'FLO-01',
    caught: /what one member does not hold, another one gets/,
    sabotage: () => (driver) =>
      buffering(driver, { more: 1, onClose: (waiting) => waiting.map((delivery) => delivery.requeue()) }),
  },
  {
    name: 'delivers-all-that-waits',
    case: 'FLO-01',
    caught: /however much waits, no more than prefetch is delivered/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, options) =>
          // As one that asks for as many again with each poll.
          open(driver, source, onDelivery, {
            ...options,
            prefetch: options.prefetch < 20 ? options.prefetch : 2 * options.prefetch,
          }),
      }),
  },
  {
    name: 'subscribes-anyway',
    case: 'ABT-03',
    caught: /leaves no consumer/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe(source, onDelivery, options) {
          const { signal } = options
          const aborted = new Promise<never>((_, reject) => {
            if (signal.aborted) reject(signal.reason)
            signal.addEventListener('abort', () => reject(signal.reason), { once: true })
          })
          aborted.catch(() => {})
          const opening = open(driver, source, onDelivery, { ...options, signal: never() })
          return Promise.race([aborted, opening])
        },
      }),
  },
  {
    name: 'subscribe-ignores-abort',
    case: 'ABT-03',
    caught: /subscribe rejects: it resolved/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, options) =>
          open(driver, source, onDelivery, { ...options, signal: never() }),
      }),
  },
  {
    name: 'ends-with-the-signal-of-subscribe',
    case: 'ABT-03',
    caught: /a signal that fires when the subscription is open does nothing to it/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          const { signal } = options
          signal.addEventListener('abort', () => void subscription.close({ timeoutMs: 1_000, signal }), {
            once: true,
          })
          return subscription
        },
      }),
  },
  {
    name: 'no-timeout',
    case: 'DLN-01',
    caught: /health resolves within|each message of a call is settled/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle) => driver.publish(batch, settle, forEver()),
        subscribe: (source, onDelivery, options) =>
          open(driver, source, onDelivery, { ...options, ...forEver() }),
        health: () => driver.health(forEver()),
        close: () => driver.close(forEver()),
      }),
  },
  {
    name: 'subscribe-has-no-timeout',
    case: 'DLN-01',
    caught: /subscribe ends within 100 ms of its signal/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, options) =>
          open(driver, source, onDelivery, { ...options, ...forEver() }),
      }),
  },
  {
    name: 'close-has-no-timeout',
    case: 'DLN-01',
    caught: /close ends within 100 ms of its signal/,
    around: 'template',
    sabotage: () => (driver) => like(driver, { close: () => driver.close(forEver()) }),
  },
  {
    name: 'silence-says-not-sent',
    case: 'DLN-01',
    caught: /what was written to a connection that is silent may have been sent/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) =>
          driver.publish(
            batch,
            (message, failure) =>
              settle(message, failure === undefined ? undefined : { ...failure, maybeSent: false }),
            call,
          ),
      }),
  },
]

/** A driver that takes `more` deliveries than it is asked to, and keeps them for later. */
function buffering(
  driver: Driver,
  { more, onClose }: { more: number; onClose: (waiting: readonly Delivery[]) => readonly Promise<unknown>[] },
): Driver {
  return like(driver, {
    async subscribe(source, onDelivery, options) {
      const waiting: Delivery[] = []
      let room = options.prefetch
      const next = (): void => {
        for (; room > 0 && waiting.length > 0; room--) onDelivery(waiting.shift() as Delivery)
      }
      const settled = (outcome: Promise<boolean>): Promise<boolean> => {
        room++
        setImmediate(next)
        return outcome
      }
      const take = (delivery: Delivery): void => {
        waiting.push(
          deliveryLike(delivery, {
            ack: () => settled(delivery.ack()),
            requeue: () => settled(delivery.requeue()),
          }),
        )
        next()
      }
      const subscription = await open(driver, source, take, {
        ...options,
        prefetch: options.prefetch + more,
      })
      return subscriptionLike(subscription, {
        async close(call) {
          room = 0
          await Promise.all(onClose(waiting.splice(0)))
          await subscription.close(call)
        },
      })
    },
  })
}

function never(): AbortSignal {
  return new AbortController().signal
}

function forEver(): { timeoutMs: number; signal: AbortSignal } {
  return { timeoutMs: 2 ** 31 - 1, signal: never() }
}
