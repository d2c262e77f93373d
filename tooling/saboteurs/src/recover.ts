import type { Driver, OutboundMessage, Status } from '@notify/core'
import { answering, LOST } from './answers.ts'
import { open } from './deliveries.ts'
import { like, type Saboteur } from './saboteur.ts'

export const RECOVER: readonly Saboteur[] = [
  {
    name: 'hides-down',
    case: 'STA-01',
    caught: /each listener is told that it is down/,
    sabotage: () => (driver) => telling(driver, ({ state }) => state !== 'down'),
  },
  {
    name: 'hides-the-second-down',
    case: 'STA-01',
    caught: /each listener is told that it is down/,
    sabotage: () => (driver) => {
      const told = new Map<object, number>()
      return telling(driver, ({ state }, listener) => {
        if (state === 'down') told.set(listener, (told.get(listener) ?? 0) + 1)
        return state !== 'down' || told.get(listener) === 1
      })
    },
  },
  {
    name: 'stays-down',
    case: 'STA-01',
    caught: /each listener is told that it is up/,
    sabotage: () => (driver) => telling(driver, ({ state }) => state !== 'up'),
  },
  {
    name: 'tells-one-listener',
    case: 'STA-01',
    caught: /each listener is told that it is down/,
    sabotage: () => (driver) => {
      let first: object | undefined
      return telling(driver, (_, listener) => {
        first ??= listener
        return first === listener
      })
    },
  },
  {
    name: 'tells-nobody-who-comes-late',
    case: 'STA-01',
    caught: /a new listener is told at once that it is down/,
    around: 'template',
    sabotage: () => (driver) => {
      const settled = new Set<object>()
      return telling(
        driver,
        (_, listener) => settled.has(listener),
        (listener) => settled.add(listener),
      )
    },
  },
  {
    name: 'tells-who-has-left',
    case: 'STA-01',
    caught: /a listener that was stopped is told nothing/,
    sabotage: () => (driver) =>
      like(driver, {
        observe(listener) {
          driver.observe?.(listener)
          return () => {}
        },
      }),
  },
  {
    name: 'hides-blocked',
    case: 'STA-02',
    caught: /each listener is told that it is blocked/,
    sabotage: () => (driver) => telling(driver, ({ state }) => state !== 'blocked'),
  },
  {
    name: 'stays-blocked',
    case: 'STA-02',
    caught: /each listener is told that it is up/,
    sabotage: () => (driver) => telling(driver, ({ state }) => state !== 'up'),
  },
  {
    name: 'is-well-while-blocked',
    case: 'STA-02',
    caught: /while it is blocked, health is not ok/,
    sabotage: () => (driver) => like(driver, { health: async () => ({ ok: true, warnings: [] }) }),
  },
  {
    name: 'calls-an-alarm-a-loss',
    case: 'STA-02',
    caught: /each listener is told that it is blocked/,
    sabotage: () => (driver) =>
      like(driver, {
        observe: (listener) =>
          driver.observe?.((status) =>
            listener(status.state === 'blocked' ? { ...status, state: 'down' } : status),
          ) as () => void,
      }),
  },
  {
    name: 'never-reconnects',
    case: 'REC-01',
    caught: /the next publish connects again/,
    sabotage: () => (driver) => lostForGood(driver, 1).driver,
  },
  {
    name: 'gives-up-in-the-end',
    case: 'REC-01',
    caught: /the next publish connects again/,
    sabotage: () => (driver) => lostForGood(driver, 4).driver,
  },
  {
    name: 'reconnects-when-asked',
    case: 'REC-01',
    caught: /the next publish connects again/,
    sabotage: () => (driver) => {
      const { driver: lost, mend } = lostForGood(driver, 1)
      return like(lost, {
        health(call) {
          mend()
          return driver.health(call)
        },
      })
    },
  },
  {
    name: 'double-subscribe',
    case: 'REC-01',
    caught: /there is one consumer where there was one/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          // It opens again by itself what it says has ended.
          void subscription.ended.then((reason) => {
            if (reason !== undefined) open(driver, source, onDelivery, again(options)).catch(() => {})
          })
          return subscription
        },
      }),
  },
  {
    name: 'ends-without-a-word',
    case: 'REC-01',
    caught: /after a loss a subscription ends, or goes on/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          const { promise: ended, resolve } = Promise.withResolvers<undefined>()
          return {
            ended,
            pause: () => subscription.pause(),
            async close(call) {
              await subscription.close(call)
              resolve(undefined)
            },
          }
        },
      }),
  },
  {
    name: 'silent-void',
    case: 'REC-03',
    caught: /nothing is confirmed that goes nowhere/,
    sabotage: () => (driver) => swallowing(driver, () => true),
  },
  {
    name: 'silent-void-at-first',
    case: 'REC-03',
    caught: /what is confirmed after a deletion is there/,
    around: 'template',
    sabotage: () => (driver) => swallowing(driver, () => true),
  },
  {
    name: 'silent-void-for-one-in-a-call',
    case: 'REC-03',
    caught: /nothing is confirmed that goes nowhere/,
    sabotage: () => (driver) =>
      swallowing(driver, (message, batch) => batch.length > 1 && batch[0] === message),
  },
]

/** Tells a listener what `passes`; `begun` hears of each listener once it is in place. */
function telling(
  driver: Driver,
  passes: (status: Status, listener: object) => boolean,
  begun: (listener: object) => void = () => {},
): Driver {
  return like(driver, {
    observe(listener) {
      const stop = driver.observe?.((status) => {
        if (passes(status, listener)) listener(status)
      }) as () => void
      begun(listener)
      return stop
    },
  })
}

/** Cannot publish any more once it has been lost so often. */
function lostForGood(driver: Driver, times: number): { driver: Driver; mend(): void } {
  let left = times
  driver.observe?.(({ state }) => {
    if (state === 'down') left--
  })
  const lost = like(driver, {
    publish(batch, settle, call) {
      if (left > 0) return driver.publish(batch, settle, call)
      queueMicrotask(() => {
        for (const message of batch) settle(message, { ...LOST, maybeSent: false })
      })
    },
  })
  const mend = (): void => {
    left = times
  }
  return { driver: lost, mend }
}

/** Confirms what nothing takes, where it `likes`. */
function swallowing(
  driver: Driver,
  likes: (message: OutboundMessage, batch: readonly OutboundMessage[]) => boolean,
): Driver {
  return answering(driver, (settle, batch) => (message, failure) => {
    const isGone = failure?.code === 'UNROUTABLE' || (failure?.retryable && failure.scope === 'destination')
    settle(message, isGone && likes(message, batch) ? undefined : failure)
  })
}

/** The same, with a time of its own. */
function again<T extends { readonly signal: AbortSignal }>(options: T): T {
  return { ...options, signal: new AbortController().signal }
}
