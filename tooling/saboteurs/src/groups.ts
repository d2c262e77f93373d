import type { Delivery, Driver, Subscription } from '@notify/core'
import { changed, inbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

type Subscribe = NonNullable<Driver['subscribe']>

export const GROUPS: readonly Saboteur[] = [
  {
    name: 'one-group-wins',
    case: 'DEL-06',
    caught: /what was published is delivered/,
    sabotage() {
      const taken = new Map<string, string | undefined>()
      return (driver) =>
        inbound(driver, (delivery, pass, { group }) => {
          const body = Buffer.from(delivery.body).toString('latin1')
          if (!taken.has(body)) taken.set(body, group)
          if (taken.get(body) === group) pass(delivery)
          else void delivery.ack()
        })
    },
  },
  {
    name: 'takes-from-the-default-group',
    case: 'DEL-06',
    caught: /what named groups take, the default one still has/,
    sabotage: () => (driver) => {
      const subscribe = driver.subscribe as Subscribe
      return like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await subscribe(source, onDelivery, options)
          if (source.group !== 'audit') return subscription
          const { destination } = source
          await subscribe({ destination }, (delivery) => void delivery.ack(), options)
          return subscription
        },
      })
    },
  },
  {
    name: 'all-get-all',
    case: 'DEL-07',
    caught: /each message goes to one member: another number/,
    sabotage() {
      const members = new Map<string, Set<(delivery: Delivery) => void>>()
      return (driver) =>
        like(driver, {
          subscribe(source, onDelivery, options) {
            const name = `${source.destination.name}@${source.group}`
            const all = members.get(name) ?? new Set()
            members.set(name, all.add(onDelivery))
            const toAll = (delivery: Delivery): void => {
              for (const member of all) {
                const own = member === onDelivery
                member(own ? delivery : changed(delivery, { ack: async () => true }))
              }
            }
            return (driver.subscribe as Subscribe)(source, toAll, options)
          },
        })
    },
  },
  {
    name: 'one-member-works',
    case: 'DEL-07',
    caught: /a named group: every member gets a part/,
    sabotage() {
      const seen = new Set<string>()
      return (driver) =>
        like(driver, {
          async subscribe(source, onDelivery, options) {
            const name = `${source.destination.name}@${source.group}`
            if (source.group === undefined || !seen.has(name)) {
              seen.add(name)
              return await (driver.subscribe as Subscribe)(source, onDelivery, options)
            }
            return { ended: Promise.resolve(undefined), async pause() {}, async close() {} }
          },
        })
    },
  },
  {
    name: 'shares-out-again-when-one-joins',
    case: 'DEL-07',
    caught: /each message goes to one member: another number/,
    sabotage() {
      const open = new Map<string, Set<Delivery>>()
      return (driver) =>
        like(driver, {
          async subscribe(source, onDelivery, options) {
            const name = `${source.destination.name}@${source.group}`
            const all = open.get(name) ?? new Set<Delivery>()
            open.set(name, all)
            const take = (delivery: Delivery): void => {
              all.add(delivery)
              const ack = (): Promise<boolean> => {
                all.delete(delivery)
                return delivery.ack()
              }
              onDelivery(changed(delivery, { ack }))
            }
            const held = [...all]
            const subscription = await (driver.subscribe as Subscribe)(source, take, options)
            for (const delivery of held) onDelivery(changed(delivery, { ack: async () => true }))
            return subscription
          },
        })
    },
  },
  {
    name: 'no-history',
    case: 'DEL-11',
    caught: /a group with from: 'earliest' gets the history/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, options) =>
          (driver.subscribe as Subscribe)(source, onDelivery, { ...options, from: 'new' }),
      }),
  },
  {
    name: 'history-for-everybody',
    case: 'DEL-11',
    caught: /a group that begins at the end gets nothing earlier/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: (source, onDelivery, { from = 'earliest', ...options }) =>
          (driver.subscribe as Subscribe)(source, onDelivery, { ...options, from }),
      }),
  },
  {
    name: 'forgets-group',
    case: 'DEL-20',
    caught: /a group keeps what comes while it has no member/,
    sabotage() {
      const drains = new Map<string, Subscription>()
      return (driver) =>
        like(driver, {
          async subscribe(source, onDelivery, options) {
            const subscribe = driver.subscribe as Subscribe
            const name = `${source.destination.name}@${source.group}`
            await drains.get(name)?.close(options)
            const subscription = await subscribe(source, onDelivery, options)
            if (source.group === undefined) return subscription
            const { ended } = subscription
            return {
              ended,
              pause: () => subscription.pause(),
              async close(call) {
                await subscription.close(call)
                const fresh = { ...options, signal: new AbortController().signal }
                drains.set(name, await subscribe(source, (delivery) => void delivery.ack(), fresh))
              },
            }
          },
        })
    },
  },
  {
    name: 'makes-the-group-later',
    case: 'DEL-20',
    caught: /a group exists once its first subscribe has resolved/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscribe = driver.subscribe as Subscribe
          const { promise, resolve } = Promise.withResolvers<Subscription>()
          setTimeout(() => resolve(subscribe(source, onDelivery, options)), 50)
          return {
            ended: promise.then(({ ended }) => ended),
            pause: async () => (await promise).pause(),
            close: async (call) => (await promise).close(call),
          }
        },
      }),
  },
]
