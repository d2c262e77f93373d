import type { Driver, OutboundMessage, Settle } from '@notify/core'
import { answering, isRefused, LOST } from './answers.ts'
import { DUTIES } from './duties.ts'
import { OUTCOMES } from './outcomes.ts'
import { like, type Saboteur } from './saboteur.ts'
import { WIRES } from './wires.ts'

/** What a confirmation is worth. */
const CONFIRMS: readonly Saboteur[] = [
  {
    name: 'ack-early',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    sabotage: () => (driver) => confirmingEarly(driver, () => true),
  },
  {
    name: 'ack-early-one-in-a-hundred',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    sabotage() {
      let count = 0
      return (driver) => confirmingEarly(driver, () => ++count % 100 === 0)
    },
  },
  {
    name: 'ack-early-once-it-was-lost',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    sabotage: () => (driver) => {
      let lost = false
      driver.observe?.(({ state }) => {
        lost ||= state === 'down'
      })
      return confirmingEarly(driver, () => lost)
    },
  },
  {
    name: 'ack-early-when-large',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    sabotage: () => (driver) => confirmingEarly(driver, ({ body }) => body.length > 5_000),
  },
  {
    name: 'loses-and-confirms',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failure) => settle(message, failure?.maybeSent ? undefined : failure),
      ),
  },
  {
    name: 'over-claims-confirm',
    case: 'CNF-05',
    caught: /the broker has everything that was confirmed/,
    around: 'template',
    // It keeps what it has confirmed, and sends it until the broker has it: as long as it lives, nothing is lost.
    sabotage: () => (driver) => keepingInProcess(driver),
  },
  {
    name: 'ignores-nack',
    case: 'CNF-02',
    caught: /what the broker refuses is settled with a failure/,
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failure) => settle(message, isRefused(failure) ? undefined : failure),
      ),
  },
  {
    name: 'ignores-every-other-nack',
    case: 'CNF-02',
    caught: /the broker has everything that was confirmed/,
    sabotage: () => (driver) => {
      let count = 0
      return answering(driver, (settle) => (message, failure) => {
        settle(message, isRefused(failure) && ++count % 2 === 0 ? undefined : failure)
      })
    },
  },
  {
    name: 'a-nack-stops-all',
    case: 'CNF-02',
    caught: /a failure of its destination/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        settle(message, failure === undefined ? undefined : { ...failure, scope: 'transport' })
      }),
  },
  {
    name: 'unbounded-buffer',
    case: 'BPR-01',
    caught: /while the broker is stalled nothing is confirmed/,
    sabotage: () => (driver) => keepingInProcess(driver),
  },
  {
    name: 'hoards-while-stalled',
    case: 'BPR-01',
    caught: /while the broker is stalled the heap stays flat/,
    sabotage: () => (driver) =>
      answering(driver, (settle, batch) => {
        const open = new Set(batch)
        const copies: Uint8Array[] = []
        const timer = setInterval(() => copies.push(...batch.map(({ body }) => body.slice())), 10)
        return (message, failure) => {
          open.delete(message)
          if (open.size === 0) clearInterval(timer)
          settle(message, failure)
        }
      }),
  },
  {
    name: 'confirms-what-takes-long',
    case: 'BPR-01',
    caught: /while the broker is stalled nothing is confirmed/,
    sabotage: () => (driver) =>
      answering(driver, (settle, batch) => {
        const timers = new Map<OutboundMessage, NodeJS.Timeout>()
        for (const each of batch)
          timers.set(
            each,
            setTimeout(() => settle(each), 600),
          )
        return (message, failure) => {
          clearTimeout(timers.get(message))
          settle(message, failure)
        }
      }),
  },
  {
    name: 'forgets-what-was-stalled',
    case: 'BPR-01',
    caught: /the broker has everything that was confirmed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          let isOver = false
          const turn = setTimeout(() => {
            isOver = true
          }, 50)
          const timely: Settle = (message, failure) => {
            clearTimeout(turn)
            if (!isOver) settle(message, failure)
          }
          const [first, ...rest] = batch
          if (first === undefined || rest.length === 0) return driver.publish(batch, settle, call)
          // The rest goes out behind the first, if that does not take too long.
          void driver.publish(
            [first],
            (message, failure) => {
              settle(message, failure)
              if (isOver) rest.forEach((each) => void settle(each))
              else void driver.publish(rest, timely, call)
            },
            call,
          )
        },
      }),
  },
]

export const CONFIRM: readonly Saboteur[] = [...CONFIRMS, ...OUTCOMES, ...DUTIES, ...WIRES]

/** Confirms some messages when they are handed over. It was written, so it will be there, will it not? */
function confirmingEarly(driver: Driver, isEarly: (message: OutboundMessage) => boolean): Driver {
  return like(driver, {
    publish(batch, settle, call) {
      const early = new Set(batch.filter(isEarly))
      const rest: Settle = (message, failure) => {
        if (!early.has(message)) settle(message, failure)
      }
      const handed = driver.publish(batch, rest, call)
      if (early.size > 0) setImmediate(() => early.forEach((message) => void settle(message)))
      return handed
    },
  })
}

/** Confirms at once, and sends again and again until the broker has it. */
function keepingInProcess(driver: Driver): Driver {
  const controller = new AbortController()
  const deliver = (batch: readonly OutboundMessage[]): void => {
    if (controller.signal.aborted) return
    const failed: OutboundMessage[] = []
    let open = batch.length
    const call = { timeoutMs: 30_000, signal: controller.signal }
    void driver.publish(
      batch,
      (message, failure) => {
        if (failure?.retryable === true) failed.push({ ...message })
        if (--open === 0 && failed.length > 0) setTimeout(deliver, 20, failed)
      },
      call,
    )
  }
  return like(driver, {
    publish(batch, settle) {
      deliver(batch)
      for (const message of batch) settle(message)
    },
    close(call) {
      controller.abort(LOST)
      return driver.close(call)
    },
  })
}
