import { connect } from 'node:net'
import { type Driver, type Failure, failure, type OutboundMessage, type Settle } from '@notify/core'
import { answering } from './answers.ts'
import { like, type Saboteur } from './saboteur.ts'

const CLOSED = failure('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

export const CLOSE: readonly Saboteur[] = [
  {
    name: 'close-drops-pending',
    case: 'CLS-01',
    caught: /what is pending at close is settled when it has ended/,
    sabotage: () => (driver) => {
      let closing = false
      const deaf = answering(driver, (settle) => (message, failed) => {
        if (!closing) settle(message, failed)
      })
      return like(deaf, {
        close(call) {
          closing = true
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'close-hangs',
    case: 'CLS-01',
    caught: /what is pending when it closes is settled once the signal has fired/,
    sabotage: () => (driver) => {
      const pending = new Pending(driver)
      return like(pending.driver, {
        // It waits for every answer, whatever its signal says.
        async close(call) {
          await pending.over()
          await driver.close(call)
        },
      })
    },
  },
  {
    name: 'close-confirms-pending',
    case: 'CLS-01',
    caught: /nothing is confirmed that the broker has not answered/,
    sabotage: () => (driver) => {
      const pending = new Pending(driver)
      return like(pending.driver, {
        close(call) {
          pending.settle()
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'close-denies-what-was-sent',
    case: 'CLS-01',
    caught: /what was not sent, by its failure, is not in the broker/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failed) => settle(message, failed && { ...failed, maybeSent: false }),
      ),
  },
  {
    name: 'zombie-reconnect',
    case: 'CLS-02',
    caught: /a driver that is closed connects no more/,
    around: 'template',
    scripted: 'what comes back is a connection of its own: from outside, a closed driver opens none',
    sabotage:
      () =>
      (driver, { address }) =>
        like(driver, {
          async close(call) {
            await driver.close(call)
            if (address !== undefined) setTimeout(() => comeBack(address), 500)
          },
        }),
  },
  {
    name: 'close-forgets-what-connects',
    case: 'CLS-02',
    caught: /a driver that was closed while it connected leaves no connection/,
    around: 'template',
    sabotage: () => (driver) => {
      const pending = new Pending(driver)
      return like(pending.driver, {
        async close(call) {
          if (pending.hasAnswered) await driver.close(call)
          else pending.settle(CLOSED)
        },
      })
    },
  },
  {
    name: 'leaks-timer',
    case: 'CLS-03',
    caught: /leaves no socket, timer or listener: .*Timeout/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          setInterval(() => {}, 60_000)
          return driver.publish(batch, settle, call)
        },
      }),
  },
  {
    name: 'leaks-a-timer-that-holds-nothing-up',
    case: 'CLS-03',
    caught: /leaves no socket, timer or listener: .*Timeout/,
    sabotage: () => (driver) => {
      setInterval(() => {}, 60_000).unref()
      return driver
    },
  },
  {
    name: 'leaks-listener',
    case: 'CLS-03',
    caught: /leaves no socket, timer or listener: .*listener for beforeExit/,
    sabotage: () => (driver) => {
      process.on('beforeExit', () => void driver.native?.())
      return driver
    },
  },
  {
    name: 'keeps-the-process-alive',
    case: 'CLS-03',
    caught: /after close the process ends by itself/,
    sabotage() {
      // Once for all drivers, so that nothing grows: that is only seen in a process of its own.
      let keeps = false
      return (driver) => {
        if (!keeps) setTimeout(() => {}, 20_000)
        keeps = true
        return driver
      }
    },
  },
  {
    name: 'unhandled',
    case: 'CLS-04',
    caught: /nothing is left unhandled: Error: nobody hears this/,
    sabotage: () => (driver) =>
      answering(driver, (settle, batch, { signal }) => {
        let open = batch.length
        signal.addEventListener('abort', () => {
          if (open > 0) void Promise.reject(new Error('nobody hears this'))
        })
        return (message, failed) => {
          open--
          settle(message, failed)
        }
      }),
  },
  {
    name: 'throws-later',
    case: 'CLS-04',
    caught: /nothing is left unhandled: Error: nobody catches this/,
    sabotage: () => (driver) => {
      const pending = new Pending(driver)
      return like(pending.driver, {
        close(call) {
          if (pending.count > 0) {
            setImmediate(() => {
              throw new Error('nobody catches this')
            })
          }
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'closes-users-connection',
    case: 'CLS-05',
    caught: /a connection that was passed in is open after close/,
    around: 'rabbit',
    sabotage: () => (driver) =>
      like(driver, {
        async close(call) {
          const clients = Object.values((driver.native?.() ?? {}) as Record<string, Closable | undefined>)
          await driver.close(call)
          for (const client of new Set(clients)) await client?.close?.()
        },
      }),
  },
]

interface Closable {
  close?(): Promise<void>
}

/** What was handed over to a driver and is not settled. */
class Pending {
  readonly driver: Driver
  hasAnswered = false
  readonly #open = new Map<OutboundMessage, Settle>()
  #whenOver = (): void => {}

  constructor(driver: Driver) {
    this.driver = answering(driver, (settle, batch) => {
      for (const message of batch) this.#open.set(message, settle)
      return (message, failed) => {
        this.hasAnswered ||= failed === undefined
        if (!this.#open.delete(message)) return
        settle(message, failed)
        if (this.#open.size === 0) this.#whenOver()
      }
    })
  }

  get count(): number {
    return this.#open.size
  }

  async over(): Promise<void> {
    if (this.count === 0) return
    await new Promise<void>((resolve) => {
      this.#whenOver = resolve
    })
  }

  settle(outcome?: Failure): void {
    const open = [...this.#open]
    this.#open.clear()
    for (const [message, settle] of open) settle(message, outcome)
  }
}

/** A reconnect that was due, and that nobody has called off. */
function comeBack(address: { readonly host: string; readonly port: number }): void {
  const socket = connect(address)
  socket.on('error', () => {})
  setTimeout(() => socket.destroy(), 1_000)
}
