import { type CallOptions, type Driver, failure, settleAll } from '@notify/core'
import { answering } from './answers.ts'
import { like, type Saboteur } from './saboteur.ts'

const CLOSED = failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })
const UNAVAILABLE = failure('UNAVAILABLE', 'lost', undefined, { retryable: true, scope: 'transport' })

export const LIFECYCLE: readonly Saboteur[] = [
  {
    name: 'shares-instance',
    case: 'LIF-01',
    caught: /a new driver each time/,
    sabotage() {
      let only: Driver | undefined
      return (driver) => {
        only ??= driver
        return only
      }
    },
  },
  {
    name: 'shares-life',
    case: 'LIF-01',
    caught: /while another one is closed|after another one was closed/,
    sabotage() {
      const all: Driver[] = []
      return (driver) => {
        all.push(driver)
        return like(driver, {
          close: async (call) => void (await Promise.all(all.map((each) => each.close(call)))),
        })
      }
    },
  },
  {
    name: 'gives-the-last-one-back',
    case: 'LIF-01',
    caught: /a new driver each time/,
    sabotage() {
      let closed: Driver | undefined
      return (driver) => {
        if (closed !== undefined) return closed
        const made = like(driver, {
          close(call) {
            closed = made
            return driver.close(call)
          },
        })
        return made
      }
    },
  },
  {
    name: 'thaws-capabilities',
    case: 'LIF-02',
    caught: /capabilities are frozen: capabilities$/,
    sabotage: () => (driver) => like(driver, { capabilities: { ...driver.capabilities } }),
  },
  {
    name: 'thaws-the-window',
    case: 'LIF-02',
    caught: /capabilities are frozen: capabilities.window/,
    sabotage: () => (driver) => {
      const { capabilities } = driver
      return like(driver, {
        capabilities: Object.freeze({ ...capabilities, window: { ...capabilities.window } }),
      })
    },
  },
  {
    name: 'learns-capabilities',
    case: 'LIF-02',
    caught: /capabilities follow from the options alone/,
    sabotage: () => (driver) => {
      let capabilities = driver.capabilities
      const made = like(driver, {
        publish(batch, settle, call) {
          capabilities = Object.freeze({ ...capabilities, maxBatch: 7 })
          return driver.publish(batch, settle, call)
        },
      })
      return Object.defineProperty(made, 'capabilities', { get: () => capabilities })
    },
  },
  {
    name: 'counts-in-capabilities',
    case: 'LIF-02',
    caught: /equal options give equal capabilities/,
    sabotage() {
      let count = 100
      return (driver) =>
        like(driver, { capabilities: Object.freeze({ ...driver.capabilities, maxBatch: count++ }) })
    },
  },
  {
    name: 'needs-health-first',
    case: 'LIF-03',
    caught: /the first publish connects by itself/,
    around: 'template',
    sabotage: () => (driver) => {
      let asked = false
      return like(driver, {
        health(call) {
          asked = true
          return driver.health(call)
        },
        publish(batch, settle, call) {
          if (asked) return driver.publish(batch, settle, call)
          settleAll(batch, settle, UNAVAILABLE)
        },
      })
    },
  },
  {
    name: 'connects-at-once',
    case: 'LIF-03',
    caught: /creating a driver connects to nothing/,
    around: 'template',
    sabotage: () => (driver) => {
      void driver.health({ timeoutMs: 1_000, signal: new AbortController().signal })
      return driver
    },
  },
  {
    name: 'health-by-heart',
    case: 'LIF-03',
    caught: /health asks the broker/,
    around: 'template',
    sabotage: () => (driver) => like(driver, { health: async () => ({ ok: true, warnings: [] }) }),
  },
  {
    name: 'hangs-on-dead-address',
    case: 'LIF-04',
    caught: /where nobody listens, each message is settled within timeoutMs/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failed) => {
        if (failed?.code !== 'UNAVAILABLE') settle(message, failed)
      }),
  },
  {
    name: 'hangs-when-it-is-still-dead',
    case: 'LIF-04',
    caught: /where nobody listens, each message is settled within timeoutMs/,
    around: 'template',
    sabotage: () => (driver) => {
      let failures = 0
      return answering(driver, (settle) => (message, failed) => {
        if (failed === undefined || failures++ < 3) settle(message, failed)
      })
    },
  },
  {
    name: 'dead-for-good',
    case: 'LIF-04',
    caught: /messages fail with what that is: .*retryable is false/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failed) => settle(message, failed && { ...failed, retryable: false }),
      ),
  },
  {
    name: 'health-throws',
    case: 'LIF-05',
    caught: /health resolves in bounded time: it rejected/,
    sabotage: () => (driver) => {
      let closed = false
      return like(driver, {
        close(call) {
          closed = true
          return driver.close(call)
        },
        health(call) {
          if (closed) throw new Error('closed')
          return driver.health(call)
        },
      })
    },
  },
  {
    name: 'health-rejects-when-down',
    case: 'LIF-05',
    caught: /health resolves in bounded time: it rejected/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        async health(call) {
          const health = await driver.health(call)
          if (health.failure?.code === 'UNAVAILABLE') throw health.failure
          return health
        },
      }),
  },
  {
    name: 'health-waits',
    case: 'LIF-05',
    caught: /at once when its signal has fired/,
    sabotage: () => (driver) =>
      like(driver, {
        async health(call) {
          await new Promise((resolve) => setTimeout(resolve, 300))
          return await driver.health(call)
        },
      }),
  },
  {
    name: 'well-for-ever',
    case: 'LIF-05',
    caught: /health is not ok while the broker is silent/,
    sabotage: () => (driver) =>
      like(driver, { health: async (call) => ({ ...(await driver.health(call)), ok: true }) }),
  },
  {
    name: 'eager-consumer',
    case: 'LIF-06',
    caught: /publishing opens no consumer/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const destination = batch[0]?.destination
          if (destination !== undefined) {
            void driver.subscribe?.({ destination }, () => {}, { ...call, prefetch: 1 }).catch(() => {})
          }
          return driver.publish(batch, settle, call)
        },
      }),
  },
  {
    name: 'close-throws-twice',
    case: 'LIF-08',
    caught: /two closes at once both resolve: it rejected/,
    sabotage: () => (driver) => {
      let closing = false
      return like(driver, {
        close(call) {
          if (closing) throw new Error('already closed')
          closing = true
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'close-rejects-once-closed',
    case: 'LIF-08',
    caught: /a second close resolves: it rejected/,
    sabotage: () => (driver) => {
      let closed = false
      return like(driver, {
        async close(call) {
          if (closed) throw CLOSED
          await driver.close(call)
          closed = true
        },
      })
    },
  },
  {
    name: 'second-close-hangs',
    case: 'LIF-08',
    caught: /two closes at once both resolve: not within/,
    sabotage: () => (driver) => {
      let closing = false
      return like(driver, {
        close(call) {
          if (closing) return new Promise(() => {})
          closing = true
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'works-after-close',
    case: 'LIF-09',
    caught: /a closed driver settles with CLOSED/,
    sabotage: () => (driver) => like(driver, { async close() {} }),
  },
  {
    name: 'sends-and-says-closed',
    case: 'LIF-09',
    caught: /a closed driver sends nothing/,
    sabotage: () => (driver) =>
      pretending(driver, (closed) => ({
        publish(batch, settle, call) {
          if (!closed()) return driver.publish(batch, settle, call)
          settleAll(batch, settle, CLOSED)
          return driver.publish(batch, () => {}, call)
        },
      })),
  },
  {
    name: 'closed-and-maybe-sent',
    case: 'LIF-09',
    caught: /a closed driver settles with CLOSED: .*maybeSent is true/,
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failed) => settle(message, failed && { ...failed, maybeSent: true }),
      ),
  },
]

/** A driver that does not close what it stands for, and knows when it should have. */
export function pretending(driver: Driver, parts: (closed: () => boolean) => Partial<Driver>): Driver {
  let closed = false
  return like(driver, {
    ...parts(() => closed),
    async close(_: CallOptions) {
      closed = true
    },
  })
}
