import type { Delivery, OutboundMessage } from '@notify/core'
import { inbound, outbound } from './rewrite.ts'
import type { Saboteur } from './saboteur.ts'

export const CALLS: readonly Saboteur[] = [
  {
    name: 'wrong-key-order',
    case: 'DEL-12',
    caught: /stored, messages of one key are in their order/,
    sabotage: () => (driver) =>
      outbound(driver, (_, index, batch) => batch.at(-1 - index) as OutboundMessage),
  },
  {
    name: 'delivers-out-of-order',
    case: 'DEL-12',
    caught: /delivered, messages of one key are in their order/,
    sabotage: () => (driver) => {
      let held: { delivery: Delivery; timer: NodeJS.Timeout } | undefined
      let count = 0
      return inbound(driver, (delivery, pass) => {
        if (++count % 7 === 0) {
          held = { delivery, timer: setTimeout(() => pass(delivery), 20) }
          return
        }
        pass(delivery)
        if (held === undefined || held.delivery.key !== delivery.key) return
        clearTimeout(held.timer)
        pass(held.delivery)
        held = undefined
      })
    },
  },
  {
    name: 'first-of-batch',
    case: 'DEL-17',
    caught: /in the broker, each message is there once: missing/,
    sabotage: () => (driver) => outbound(driver, (message, index) => (index === 0 ? message : [])),
  },
  {
    name: 'headers-of-the-first',
    case: 'DEL-17',
    caught: /in the broker, the content type is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message, _, [first]) => ({ ...message, contentType: first?.contentType ?? '' })),
  },
  {
    name: 'one-body-once',
    case: 'DEL-17',
    caught: /in the broker, each message is there once: missing/,
    sabotage: () => (driver) =>
      outbound(driver, (message, index, batch) =>
        batch.findIndex(({ body }) => Buffer.compare(body, message.body) === 0) === index ? message : [],
      ),
  },
  {
    name: 'half-batches',
    case: 'DEL-18',
    caught: /of the largest call \(many\), each message is there once: missing/,
    sabotage: () => (driver) =>
      outbound(driver, (message, index, batch) =>
        batch.length === driver.capabilities.maxBatch && index >= batch.length / 2 ? [] : message,
      ),
  },
  {
    name: 'a-byte-too-much',
    case: 'DEL-18',
    caught: /of the largest call \(heavy\), each message is there once: missing/,
    sabotage: () => (driver) =>
      outbound(driver, (message, index, batch) => {
        const bytes = batch.reduce((sum, { body }) => sum + body.length, 0)
        return bytes >= driver.capabilities.maxBatchBytes && index === batch.length - 1 ? [] : message
      }),
  },
  {
    name: 'stores-twice',
    case: 'DEL-19',
    caught: /what has one dedupId is stored once/,
    sabotage() {
      let count = 0
      return (driver) =>
        outbound(driver, (message) => ({ ...message, dedupId: `${message.dedupId}/${++count}` }))
    },
  },
  {
    name: 'deduplicates-for-itself-alone',
    case: 'DEL-19',
    caught: /what has one dedupId is stored once/,
    sabotage() {
      let instances = 0
      return (driver) => {
        const instance = ++instances
        return outbound(driver, (message) => ({ ...message, dedupId: `${message.dedupId}/${instance}` }))
      }
    },
  },
  {
    name: 'deduplicates-on-the-bare-id',
    case: 'DEL-19',
    caught: /what has one dedupId is stored once, and what has another one too/,
    sabotage: () => (driver) => outbound(driver, (message) => ({ ...message, dedupId: message.id })),
  },
]
