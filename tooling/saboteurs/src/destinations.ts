import type { Destination, Failure, Priority } from '@notify/core'
import { changed, inbound, outbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

export const DESTINATIONS: readonly Saboteur[] = [
  {
    name: 'swaps-topics',
    case: 'DEL-05',
    caught: /holds what is its own/,
    sabotage: () => (driver) =>
      like(
        outbound(driver, (message) => ({ ...message, destination: swapped(message.destination) })),
        {
          subscribe: ({ destination, ...rest }, onDelivery, options) =>
            (driver.subscribe as NonNullable<typeof driver.subscribe>)(
              { ...rest, destination: swapped(destination) },
              (delivery) => onDelivery(changed(delivery, { destination })),
              options,
            ),
        },
      ),
  },
  {
    name: 'consumes-another-priority',
    case: 'DEL-05',
    caught: /delivered, each message is there once/,
    sabotage: () => (driver) =>
      like(driver, {
        subscribe: ({ destination, ...rest }, onDelivery, options) =>
          (driver.subscribe as NonNullable<typeof driver.subscribe>)(
            { ...rest, destination: swapped(destination) },
            (delivery) => onDelivery(changed(delivery, { destination })),
            options,
          ),
      }),
  },
  {
    name: 'delivers-as-another',
    case: 'DEL-05',
    caught: /a delivery has the priority that was subscribed to/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const { destination } = delivery
        pass(changed(delivery, { destination: { ...destination, priority: 'INFO' } }))
      }),
  },
  {
    name: 'buries-the-dead-with-the-living',
    case: 'DEL-05',
    caught: /holds what is its own/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const { topic, name, ...rest } = message.destination
        const strip = (text: string): string => text.replace(/\.dead\b/, '')
        return { ...message, destination: { ...rest, topic: strip(topic), name: strip(name) } }
      }),
  },
  {
    name: 'missing-is-fine',
    case: 'DEL-09',
    caught: /a missing destination is UNROUTABLE: it was confirmed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) =>
          driver.publish(
            batch,
            (message, failure) =>
              failure?.code === 'UNROUTABLE' ? settle(message) : settle(message, failure),
            call,
          ),
      }),
  },
  {
    name: 'missing-for-good',
    case: 'DEL-09',
    caught: /a destination that was made meanwhile is found/,
    sabotage: () => (driver) => {
      const missing = new Map<string, Failure>()
      return like(driver, {
        publish(batch, settle, call) {
          const known = missing.get(batch[0]?.destination.name ?? '')
          if (known !== undefined) {
            queueMicrotask(() => batch.forEach((message) => void settle(message, known)))
            return
          }
          return driver.publish(
            batch,
            (message, failure) => {
              if (failure?.code === 'UNROUTABLE') missing.set(message.destination.name, failure)
              settle(message, failure)
            },
            call,
          )
        },
      })
    },
  },
]

function swapped({ topic, priority, name }: Destination): Destination {
  const other: Partial<Record<Priority, Priority>> = { WARN: 'AUDIT', AUDIT: 'WARN' }
  const to = other[priority]
  return to === undefined
    ? { topic, priority, name }
    : { topic, priority: to, name: `${topic}.${to.toLowerCase()}` }
}
