import type { Driver, Failure, OutboundMessage, Settle } from '@notify/core'
import { like, type Saboteur } from './saboteur.ts'

export const CANCEL: readonly Saboteur[] = [
  {
    name: 'sends-when-aborted',
    case: 'CAN-01',
    caught: /what came with a signal that has fired is not sent/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          if (!call.signal.aborted) return driver.publish(batch, settle, call)
          const failure = { ...(call.signal.reason as Failure), maybeSent: false }
          const handed = driver.publish(batch, () => {}, { ...call, signal: never() })
          for (const message of batch) settle(message, failure)
          return handed
        },
      }),
  },
  {
    name: 'looks-at-the-signal-later',
    case: 'CAN-01',
    caught: /a signal that has fired settles with its reason/,
    sabotage: () => (driver) =>
      like(driver, {
        // Only what fires from now on is heard.
        publish: (batch, settle, call) =>
          driver.publish(batch, settle, call.signal.aborted ? { ...call, signal: never() } : call),
      }),
  },
  {
    name: 'says-aborted-whatever-the-reason',
    case: 'CAN-01',
    caught: /a signal that has fired settles with its reason/,
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) =>
          driver.publish(
            batch,
            (message, failure) =>
              settle(message, failure?.code === 'DEADLINE' ? { ...failure, code: 'ABORTED' } : failure),
            call,
          ),
      }),
  },
  {
    name: 'abort-ignored',
    case: 'CAN-02',
    caught: /each message of a call is settled/,
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) => driver.publish(batch, settle, { ...call, signal: never() }),
      }),
  },
  {
    name: 'abort-says-not-sent',
    case: 'CAN-02',
    caught: /what was not sent, by its failure, is not in the broker|what was written may have been sent/,
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) =>
          driver.publish(
            batch,
            (message, failure) =>
              settle(message, failure?.code === 'ABORTED' ? { ...failure, maybeSent: false } : failure),
            call,
          ),
      }),
  },
  {
    name: 'abort-confirms',
    case: 'CAN-02',
    caught: /is settled with the reason: it was confirmed|the broker has everything that was confirmed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish: (batch, settle, call) =>
          driver.publish(
            batch,
            (message, failure) => settle(message, failure?.code === 'ABORTED' ? undefined : failure),
            call,
          ),
      }),
  },
  {
    name: 'abort-is-late',
    case: 'CAN-02',
    caught: /each message of a call is settled: after 100 ms/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const late = new AbortController()
          call.signal.addEventListener('abort', () => setTimeout(() => late.abort(call.signal.reason), 300), {
            once: true,
          })
          return driver.publish(batch, settle, { ...call, signal: late.signal })
        },
      }),
  },
  {
    name: 'abort-ends-all-calls',
    case: 'CAN-02',
    caught: /a signal ends the calls that it was given to alone/,
    sabotage: () => (driver) => {
      const all = new Set<AbortController>()
      return like(driver, {
        publish(batch, settle, call) {
          const controller = new AbortController()
          all.add(controller)
          const end = (): void => {
            for (const each of all) each.abort(call.signal.reason)
            all.clear()
          }
          if (call.signal.aborted) end()
          else call.signal.addEventListener('abort', end, { once: true })
          return driver.publish(batch, settle, { ...call, signal: controller.signal })
        },
      })
    },
  },
  {
    name: 'abort-then-sends',
    case: 'ABT-01',
    caught: /what was aborted without a connection is not sent later/,
    around: 'template',
    sabotage: () => (driver) => {
      const aborted: OutboundMessage[] = []
      return like(driver, {
        publish(batch, settle, call) {
          const watch: Settle = (message, failure) => {
            // It stays in the buffer of a client that sends it when it can.
            if (failure?.code === 'ABORTED') aborted.push(message)
            else if (failure === undefined) send(driver, aborted.splice(0))
            settle(message, failure)
          }
          return driver.publish(batch, watch, call)
        },
      })
    },
  },
  {
    name: 'waits-for-its-connection',
    case: 'ABT-01',
    caught: /each message of a call is settled: after 100 ms/,
    around: 'template',
    sabotage: () => (driver) =>
      like(driver, {
        // While it waits for that, it hears nothing else.
        async publish(batch, settle, call) {
          await driver.health({ timeoutMs: 1_000, signal: never() })
          return driver.publish(batch, settle, call)
        },
      }),
  },
  {
    name: 'leaks-abort-listener',
    case: 'ABT-02',
    caught: /no listener is left on the signal of calls that were confirmed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          call.signal.addEventListener('abort', () => {}, { once: true })
          return driver.publish(batch, settle, call)
        },
      }),
  },
  {
    name: 'leaks-abort-listener-of-one-call',
    case: 'ABT-02',
    caught: /no listener is left on the signal of calls that were confirmed/,
    sabotage() {
      let calls = 0
      return (driver) =>
        like(driver, {
          publish(batch, settle, call) {
            if (calls++ === 500) call.signal.addEventListener('abort', () => {})
            return driver.publish(batch, settle, call)
          },
        })
    },
  },
  {
    name: 'leaks-abort-listener-of-failures',
    case: 'ABT-02',
    caught: /no listener is left on the signal of calls that failed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const onAbort = (): void => {}
          call.signal.addEventListener('abort', onAbort)
          return driver.publish(
            batch,
            (message, failure) => {
              if (failure === undefined) call.signal.removeEventListener('abort', onAbort)
              settle(message, failure)
            },
            call,
          )
        },
      }),
  },
]

function never(): AbortSignal {
  return new AbortController().signal
}

function send(driver: Driver, messages: readonly OutboundMessage[]): void {
  if (messages.length > 0) void driver.publish(messages, () => {}, { timeoutMs: 5_000, signal: never() })
}
