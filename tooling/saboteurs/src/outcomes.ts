import type { Driver, Failure, OutboundMessage, Settle } from '@notify/core'
import { answering, together } from './answers.ts'
import { outbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

/** Every message has an outcome, an order and an identity of its own. */
export const OUTCOMES: readonly Saboteur[] = [
  {
    name: 'batch-all-or-nothing',
    case: 'CNF-03',
    caught: /the rest is confirmed/,
    sabotage: () => (driver) =>
      together(driver, (outcomes) => {
        const failure = outcomes.find((outcome) => outcome !== undefined)
        return outcomes.map(() => failure)
      }),
  },
  {
    name: 'batch-swallows',
    case: 'CNF-03',
    caught: /is refused, and says why: it was confirmed/,
    sabotage: () => (driver) =>
      together(driver, (outcomes) =>
        outcomes.includes(undefined) ? outcomes.map(() => undefined) : outcomes,
      ),
  },
  {
    name: 'batch-swallows-the-last',
    case: 'CNF-03',
    caught: /is refused, and says why: it was confirmed/,
    sabotage: () => (driver) => together(driver, (outcomes) => [...outcomes.slice(0, -1), undefined]),
  },
  {
    name: 'stops-at-the-first-failure',
    case: 'CNF-03',
    caught: /the rest is confirmed/,
    sabotage: () => (driver) =>
      together(driver, (outcomes) => {
        const at = outcomes.findIndex((outcome) => outcome !== undefined)
        return outcomes.map((outcome, index) => (at >= 0 && index > at ? outcomes[at] : outcome))
      }),
  },
  {
    name: 'confirm-off-by-one',
    case: 'CNF-06',
    caught: /hears so|nothing stands against/,
    sabotage: () => (driver) => together(driver, (outcomes) => [...outcomes.slice(1), outcomes[0]]),
  },
  {
    name: 'answers-cross-calls',
    case: 'CNF-06',
    caught: /hears so|nothing stands against|the broker has everything/,
    sabotage: () => (driver) => crossingCalls(driver),
  },
  {
    name: 'return-by-id',
    case: 'CNF-07',
    caught: /its twin of the same id is confirmed/,
    sabotage: () => (driver) => {
      const returned = new Map<string, Failure>()
      return answering(driver, (settle) => (message, failure) => {
        if (failure?.code === 'UNROUTABLE') returned.set(message.id, failure)
        // What is confirmed waits for what may have come back.
        setTimeout(() => settle(message, failure ?? returned.get(message.id)), 5)
      })
    },
  },
  {
    name: 'blames-all',
    case: 'CNF-11',
    caught: /the others are not blamed/,
    sabotage: () => (driver) =>
      together(driver, (outcomes) => {
        const failure = outcomes.find((outcome) => outcome?.scope === 'message')
        return outcomes.map((outcome) => failure ?? outcome)
      }),
  },
  {
    name: 'skips-the-failed',
    case: 'ORD-01',
    caught: /after a failure the rest of its key fails/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          for (const message of batch) void driver.publish([message], settle, call)
        },
      }),
  },
  {
    name: 'fails-all-keys',
    case: 'ORD-01',
    caught: /or has another key, is confirmed/,
    sabotage: () => (driver) =>
      together(driver, (outcomes) => {
        const after = outcomes.find((outcome) => outcome?.reason === 'after-failure')
        const at = after === undefined ? outcomes.length : outcomes.indexOf(after)
        return outcomes.map((outcome, index) => (index > at ? after : outcome))
      }),
  },
  {
    name: 'stores-what-it-fails',
    case: 'ORD-01',
    caught: /each message but the refused ones is stored once/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const hasKey = batch.some(({ key }) => key !== undefined)
          const late: Settle = (message, failure) => {
            if (failure?.reason === 'after-failure') {
              void driver.publish([{ ...message, dedupId: `${message.dedupId}/again` }], () => {}, call)
            }
            settle(message, failure)
          }
          return driver.publish(batch, hasKey ? late : settle, call)
        },
      }),
  },
  {
    name: 'new-id-on-retry',
    case: 'DUP-01',
    caught: /what is tried again is stored once/,
    sabotage() {
      const seen = new Set<string>()
      return (driver) =>
        outbound(driver, (message) => {
          const { id, dedupId } = message
          const isNew = !seen.has(dedupId)
          seen.add(dedupId)
          return isNew ? message : { ...message, id: `${id}-again`, dedupId: `${dedupId}-again-${seen.size}` }
        })
    },
  },
  {
    name: 'new-bytes-on-retry',
    case: 'DUP-01',
    caught: /a duplicate has the same bytes/,
    around: 'template',
    sabotage() {
      const seen = new Set<string>()
      return (driver) =>
        outbound(driver, (message) => {
          const { body, dedupId } = message
          const isNew = !seen.has(dedupId)
          seen.add(dedupId)
          return isNew ? message : { ...message, body: Buffer.concat([body, Buffer.from(' ')]) }
        })
    },
  },
  {
    name: 'dedup-on-id',
    case: 'DUP-02',
    caught: /one id is stored wherever it was published/,
    sabotage() {
      const seen = new Set<string>()
      return (driver) => droppingSeen(driver, seen, ({ id }) => id)
    },
  },
  {
    name: 'dedup-on-id-and-destination',
    case: 'DUP-02',
    caught: /one id is stored wherever it was published, and for each dedupId/,
    sabotage() {
      const seen = new Set<string>()
      return (driver) => droppingSeen(driver, seen, ({ id, destination }) => `${id} ${destination.name}`)
    },
  },
]

/** Gives an answer to the message that was handed over before it, whichever call that was of. */
function crossingCalls(driver: Driver): Driver {
  let held: { settle: Settle; message: OutboundMessage; failure: Failure | undefined } | undefined
  return answering(driver, (settle) => (message, failure) => {
    if (held === undefined) {
      held = { settle, message, failure }
      // Nobody came with whom to change.
      setTimeout(() => {
        if (held?.message === message) {
          held = undefined
          settle(message, failure)
        }
      }, 20)
      return
    }
    const other = held
    held = undefined
    other.settle(other.message, failure)
    settle(message, other.failure)
  })
}

function droppingSeen(
  driver: Driver,
  seen: Set<string>,
  nameOf: (message: OutboundMessage) => string,
): Driver {
  return outbound(driver, (message) => {
    const name = nameOf(message)
    const isNew = !seen.has(name)
    seen.add(name)
    return isNew ? message : []
  })
}
