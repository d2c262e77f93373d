import type { Delivery, Destination, OutboundMessage } from '@notify/core'
import { changed, inbound, outbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

export const HOSTILE: readonly Saboteur[] = [
  {
    name: 'poison-blocks',
    case: 'PSN-01',
    caught: /what others wrote is delivered, and what comes after it/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        // Waits for somebody who knows what it is.
        if (delivery.contentType !== undefined) pass(delivery)
      }),
  },
  {
    name: 'poison-crashes',
    case: 'PSN-01',
    caught: /what others wrote is delivered, and what comes after it/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const open = driver.subscribe as NonNullable<typeof driver.subscribe>
          const { promise: poisoned, resolve: crash } = Promise.withResolvers<void>()
          let crashed = false
          const take = (delivery: Delivery): void => {
            crashed ||= delivery.contentType === undefined
            if (crashed) crash()
            else onDelivery(delivery)
          }
          const subscription = await open(source, take, options)
          void poisoned.then(() => subscription.close(options))
          return subscription
        },
      }),
  },
  {
    name: 'poison-is-swallowed',
    case: 'PSN-01',
    caught: /what others wrote is delivered/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        if (delivery.contentType === undefined && delivery.body.length === 0) void delivery.ack()
        else pass(delivery)
      }),
  },
  {
    name: 'parses-headers',
    case: 'PSN-01',
    caught: /is text, whatever was written/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const entries = Object.entries(delivery.headers).map(([name, value]) => [name, parsed(value)])
        pass(changed(delivery, { headers: Object.fromEntries(entries) as Delivery['headers'] }))
      }),
  },
  {
    name: 'merges-proto',
    case: 'SEC-01',
    caught: /a header __proto__ is refused with INVALID/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => ({ ...message, headers: merged(message.headers) })),
  },
  {
    name: 'looks-names-up',
    case: 'SEC-01',
    caught: /in the broker, the headers are what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const kept: Record<string, string> = {}
        for (const [name, value] of Object.entries(message.headers)) if (!(name in kept)) kept[name] = value
        // What is refused stays what it is.
        return Object.hasOwn(message.headers, '__proto__') ? message : { ...message, headers: kept }
      }),
  },
  {
    name: 'inherits-from-what-came',
    case: 'SEC-01',
    caught: /the headers of a delivery inherit nothing that was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const headers = Object.assign(Object.create({ polluted: 'yes' }), delivery.headers)
        pass(delivery.contentType === undefined ? changed(delivery, { headers }) : delivery)
      }),
  },
  {
    name: 'topic-injection',
    case: 'SEC-03',
    caught: /a topic holds what is its own, whatever others are called/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => ({ ...message, destination: oneLine(message.destination) })),
  },
  {
    name: 'topics-are-patterns',
    case: 'SEC-03',
    caught: /a topic is no pattern, whatever characters it has/,
    sabotage() {
      const patterns: { matches: RegExp; take(delivery: Delivery): void }[] = []
      return (driver) =>
        like(
          outbound(driver, (message) => {
            for (const { matches, take } of patterns)
              if (matches.test(message.destination.name)) take(copy(message))
            return message
          }),
          {
            subscribe(source, onDelivery, options) {
              const { name } = source.destination
              const matches = new RegExp(`^${name.replaceAll('.', '\\.').replaceAll('*', '[^.]+')}$`)
              if (name.includes('*')) patterns.push({ matches, take: onDelivery })
              return (driver.subscribe as NonNullable<typeof driver.subscribe>)(source, onDelivery, options)
            },
          },
        )
    },
  },
  {
    name: 'sends-a-copy',
    case: 'SEC-03',
    caught: /no header sends a copy elsewhere/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const { CC } = message.headers
        if (CC === undefined) return message
        const { priority } = message.destination
        const destination = { topic: CC.replace(/\.[^.]+$/, ''), priority, name: CC }
        return [message, { ...message, dedupId: `${message.id}/${CC}`, destination }]
      }),
  },
  {
    name: 'splits-lines-of-keys',
    case: 'SEC-03',
    caught: /in the broker, the key is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, ({ key, ...message }) =>
        key === undefined ? message : { ...message, key: key.split(/[\r\n]/)[0] ?? '' },
      ),
  },
  {
    name: 'believes-a-header-for-the-count',
    case: 'SEC-03',
    caught: /no header is taken for the count of deliveries/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const claimed = delivery.headers['x-delivery-count']
        pass(claimed === undefined ? delivery : changed(delivery, { deliveries: Number(claimed) }))
      }),
  },
  {
    name: 'keeps-reference',
    case: 'SEC-04',
    caught: /delivered, the body is what was sent|delivered, each message is there once/,
    sabotage() {
      const kept = new Map<string, OutboundMessage>()
      const keyOf = (body: Uint8Array): string => Buffer.from(body).toString('latin1')
      return (driver) =>
        inbound(
          outbound(driver, (message) => {
            kept.set(keyOf(message.body), message)
            return message
          }),
          (delivery, pass) => {
            const { body } = kept.get(keyOf(delivery.body)) ?? delivery
            pass(changed(delivery, { body }))
          },
        )
    },
  },
  {
    name: 'stamps-its-input',
    case: 'SEC-04',
    caught: /after publish, the headers are what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const copy = { ...message, headers: { ...message.headers } }
        if (!Object.isFrozen(message.headers)) Object.assign(message.headers, { stamped: 'yes' })
        return copy
      }),
  },
  {
    name: 'writes-on-what-is-frozen',
    case: 'SEC-04',
    caught: /publish must not throw/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const copy = { ...message }
        Object.assign(message, { sent: true })
        Reflect.deleteProperty(message, 'sent')
        return copy
      }),
  },
]

function parsed(value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** As many a library merges options. */
function merged(headers: Readonly<Record<string, string>>): Record<string, string> {
  const target: Record<string, string> = {}
  for (const name of Object.keys(headers)) target[name] = headers[name] as string
  return target
}

function oneLine({ topic, priority, name }: Destination): Destination {
  const flat = (text: string): string => text.replace(/[\r\n]/g, '')
  return { topic: flat(topic), priority, name: flat(name) }
}

function copy({ destination, body, headers }: OutboundMessage): Delivery {
  return { destination, body, headers, deliveries: 1, ack: async () => true, requeue: async () => true }
}
