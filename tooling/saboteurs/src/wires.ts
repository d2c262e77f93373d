import type { Driver, Failure, OutboundMessage } from '@notify/core'
import { answering, isRefused, LOST } from './answers.ts'
import { like, type Saboteur } from './saboteur.ts'

/** What becomes of a message whose answer is late, or lost. */
export const WIRES: readonly Saboteur[] = [
  {
    name: 'claims-not-sent',
    case: 'CNF-04',
    caught: /what was written before a cut is settled as such/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        settle(message, failure === undefined ? undefined : { ...failure, maybeSent: false })
      }),
  },
  {
    name: 'gives-up-what-is-lost',
    case: 'CNF-04',
    caught: /what was in flight at a cut is UNAVAILABLE/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        settle(message, failure?.code === 'UNAVAILABLE' ? { ...failure, retryable: false } : failure)
      }),
  },
  {
    name: 'sends-again-later',
    case: 'CNF-04',
    caught: /after a cut nothing is sent again/,
    around: 'template',
    // Told that it was lost, and sent all the same as soon as something goes through again.
    sabotage: () => (driver) => {
      const lost: OutboundMessage[] = []
      return answering(driver, (settle, _batch, call) => (message, failure) => {
        settle(message, failure)
        if (failure?.maybeSent === true) lost.push(message)
        else if (failure === undefined && lost.length > 0) void driver.publish(lost.splice(0), () => {}, call)
      })
    },
  },
  {
    name: 'forgets-late',
    case: 'CNF-10',
    caught: /an answer that comes late settles what is open/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle, _batch, { timeoutMs, signal }) => {
        let isLate = false
        const timer = setTimeout(() => {
          isLate = true
        }, timeoutMs)
        return (message, failure) => {
          if (isLate && !signal.aborted) return
          if (timeoutMs > 1_000) clearTimeout(timer)
          settle(message, failure)
        }
      }),
  },
  {
    name: 'confirms-when-late',
    case: 'CNF-10',
    caught: /nothing is confirmed before its answer/,
    around: 'template',
    sabotage: () => (driver) => atTimeout(driver, () => undefined),
  },
  {
    name: 'late-was-never-sent',
    case: 'CNF-10',
    caught: /settled as sent, perhaps/,
    around: 'template',
    sabotage: () => (driver) => atTimeout(driver, () => ({ ...LOST, maybeSent: false })),
  },
  {
    name: 'settles-late-ones-again',
    case: 'CNF-10',
    caught: /not settled again|each message is settled once/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle, batch, { timeoutMs }) => {
        for (const message of batch) setTimeout(() => settle(message, LOST), timeoutMs)
        return settle
      }),
  },
  {
    name: 'retries-inside',
    case: 'RTY-01',
    caught: /a lost message is not retried inside/,
    around: 'template',
    sabotage: () => (driver) => retrying(driver, ({ code }) => code === 'UNAVAILABLE'),
  },
  {
    name: 'retries-what-is-refused',
    case: 'RTY-01',
    caught: /over the wire once, whatever becomes of it: refused/,
    around: 'template',
    sabotage: () => (driver) => retrying(driver, isRefused),
  },
  {
    name: 'hedges',
    case: 'RTY-01',
    caught: /over the wire once, whatever becomes of it: (cut|unanswered)/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const open = new Set(batch)
          const timer = setTimeout(() => {
            if (open.size > 0) void driver.publish([...open], () => {}, call)
          }, 100)
          const handed = driver.publish(
            batch,
            (message, failure) => {
              open.delete(message)
              if (open.size === 0) clearTimeout(timer)
              settle(message, failure)
            },
            call,
          )
          return handed
        },
      }),
  },
]

/** Settles what is open after `timeoutMs`, whether the signal has fired or not. */
function atTimeout(driver: Driver, outcome: () => Failure | undefined): Driver {
  return answering(driver, (settle, batch, { timeoutMs }) => {
    const open = new Set(batch)
    setTimeout(() => {
      for (const message of open) settle(message, outcome())
      open.clear()
    }, timeoutMs)
    return (message, failure) => {
      if (open.delete(message)) settle(message, failure)
    }
  })
}

/** Tries once more what fails so. */
function retrying(driver: Driver, isWorthIt: (failure: Failure) => boolean): Driver {
  return answering(driver, (settle, _batch, call) => (message, failure) => {
    if (failure === undefined || !isWorthIt(failure) || call.signal.aborted) {
      settle(message, failure)
      return
    }
    setTimeout(() => {
      void driver.publish([{ ...message }], (_, second) => settle(message, second), call)
    }, 5)
  })
}
