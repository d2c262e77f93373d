import { CALLS } from './calls.ts'
import { DESTINATIONS } from './destinations.ts'
import { GROUPS } from './groups.ts'
import { changed, inbound, outbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

const BASICS: readonly Saboteur[] = [
  {
    name: 'forgets-all',
    case: 'DEL-01',
    caught: /in the broker, each message is there once: missing/,
    sabotage: () => (driver) => outbound(driver, () => []),
  },
  {
    name: 'forgets-empty-headers',
    case: 'DEL-01',
    caught: /delivered, the headers are what was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const headers = Object.fromEntries(
          Object.entries(delivery.headers).filter(([, value]) => value !== ''),
        )
        pass(changed(delivery, { headers }))
      }),
  },
  {
    name: 'duplicates-1-in-100',
    case: 'DEL-02',
    caught: /each message is stored exactly once/,
    sabotage() {
      let count = 0
      return (driver) =>
        outbound(driver, (message) =>
          ++count % 100 === 0 ? [message, { ...message, dedupId: `${message.dedupId}/again` }] : message,
        )
    },
  },
  {
    name: 'delivers-1-in-100-twice',
    case: 'DEL-02',
    caught: /each message is delivered exactly once/,
    sabotage() {
      let count = 0
      return (driver) =>
        inbound(driver, (delivery, pass) => {
          pass(delivery)
          if (++count % 100 === 0) pass(delivery)
        })
    },
  },
  {
    name: 'drops-1-in-100',
    case: 'DEL-03',
    caught: /in the broker, each message is there once: missing/,
    sabotage() {
      let count = 0
      return (driver) => outbound(driver, (message) => (++count % 100 === 0 ? [] : message))
    },
  },
  {
    name: 'drops-when-busy',
    case: 'DEL-03',
    caught: /each message is there once: missing/,
    sabotage: () => (driver) => {
      let open = 0
      const dropping = outbound(driver, (message, index, batch) =>
        open > 50 && index === batch.length - 1 ? [] : message,
      )
      return like(driver, {
        publish(batch, settle, call) {
          open += batch.length
          const counted: typeof settle = (message, failure) => {
            open--
            settle(message, failure)
          }
          return dropping.publish(batch, counted, call)
        },
      })
    },
  },
  {
    name: 'drops-unheard',
    case: 'DEL-04',
    caught: /the broker has what nobody consumes/,
    sabotage() {
      const heard = new Set<string>()
      return (driver) =>
        like(
          outbound(driver, (message) => (heard.has(message.destination.name) ? message : [])),
          {
            subscribe(source, ...rest) {
              heard.add(source.destination.name)
              return (driver.subscribe as NonNullable<typeof driver.subscribe>)(source, ...rest)
            },
          },
        )
    },
  },
  {
    name: 'drops-between-consumers',
    case: 'DEL-04',
    caught: /what was published between two consumers is delivered/,
    sabotage() {
      const left = new Set<string>()
      return (driver) =>
        like(
          outbound(driver, (message) => (left.has(message.destination.name) ? [] : message)),
          {
            async subscribe(source, ...rest) {
              const { name } = source.destination
              left.delete(name)
              const subscription = await (driver.subscribe as NonNullable<typeof driver.subscribe>)(
                source,
                ...rest,
              )
              void subscription.ended.then(() => left.add(name))
              return subscription
            },
          },
        )
    },
  },
  {
    name: 'close-waits-for-one',
    case: 'DEL-10',
    caught: /a subscription closes in bounded time/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const { promise: one, resolve } = Promise.withResolvers<void>()
          const subscription = await (driver.subscribe as NonNullable<typeof driver.subscribe>)(
            source,
            (delivery) => {
              resolve()
              onDelivery(delivery)
            },
            options,
          )
          return {
            ended: subscription.ended,
            pause: () => subscription.pause(),
            async close(call) {
              await one
              await subscription.close(call)
            },
          }
        },
      }),
  },
  {
    name: 'early-delay',
    case: 'DEL-16',
    caught: /nothing is delivered before its delay is over/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) =>
        pass(
          changed(delivery, {
            requeue: ({ delayMs = 0 } = {}) =>
              delivery.requeue({ delayMs: delayMs > 1_000 ? delayMs : delayMs / 2 }),
          }),
        ),
      ),
  },
  {
    name: 'overflows-its-timer',
    case: 'DEL-16',
    caught: /nothing is delivered before its delay is over/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) =>
        pass(
          changed(delivery, {
            requeue: ({ delayMs = 0 } = {}) =>
              delivery.requeue({ delayMs: delayMs === 2 ** 31 - 1 ? 1 : delayMs }),
          }),
        ),
      ),
  },
  {
    name: 'forgets-delayed',
    case: 'DEL-16',
    caught: /what was given back with a delay is delivered again/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) =>
        pass(
          changed(delivery, {
            requeue: (options) =>
              delivery.deliveries === 2 && (options?.delayMs ?? 0) > 0
                ? delivery.ack()
                : delivery.requeue(options),
          }),
        ),
      ),
  },
]

export const DELIVERY: readonly Saboteur[] = [...BASICS, ...DESTINATIONS, ...GROUPS, ...CALLS]
