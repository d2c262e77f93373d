import { answering } from './answers.ts'
import { like, type Saboteur } from './saboteur.ts'

/** What `publish` owes its caller. */
export const DUTIES: readonly Saboteur[] = [
  {
    name: 'throws-midway',
    case: 'CNF-08',
    caught: /publish must not throw/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          void driver.publish(batch.slice(0, 1), settle, call)
          for (const message of batch.slice(1)) {
            if (Object.keys(message.headers).some((name) => /\s/.test(name)))
              throw new Error('no such header')
            void driver.publish([message], settle, call)
          }
        },
      }),
  },
  {
    name: 'rejects-when-closed',
    case: 'CNF-08',
    caught: /publish must not reject/,
    sabotage: () => (driver) => {
      let closed = false
      return like(driver, {
        async publish(batch, settle, call) {
          await driver.publish(batch, settle, call)
          if (closed) throw new Error('it is closed')
        },
        close(call) {
          closed = true
          return driver.close(call)
        },
      })
    },
  },
  {
    name: 'forgets-what-is-strange',
    case: 'CNF-08',
    caught: /each message of a call is settled/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        if (failure?.code !== 'INVALID') settle(message, failure)
      }),
  },
  {
    name: 'forgets-what-is-lost',
    case: 'CNF-08',
    caught: /each message of a call is settled/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        if (failure?.code !== 'UNAVAILABLE') settle(message, failure)
      }),
  },
  {
    name: 'throws-without-connection',
    case: 'CNF-08',
    caught: /publish must not throw/,
    around: 'template',
    sabotage: () => (driver) => {
      let isDown = false
      driver.observe?.(({ state }) => {
        isDown = state === 'down'
      })
      return like(driver, {
        publish(batch, settle, call) {
          if (isDown) throw new Error('there is no connection')
          return driver.publish(batch, settle, call)
        },
      })
    },
  },
  {
    name: 'settles-twice',
    case: 'CNF-09',
    caught: /not settled again/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        settle(message, failure)
        settle(message, failure)
      }),
  },
  {
    name: 'settles-lost-ones-again',
    case: 'CNF-09',
    caught: /not settled again/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failure) => {
        settle(message, failure)
        if (failure?.code === 'UNAVAILABLE') setTimeout(() => settle(message, failure), 5)
      }),
  },
  {
    name: 'settles-aborted-again',
    case: 'CNF-09',
    caught: /not settled again/,
    sabotage: () => (driver) =>
      answering(driver, (settle, _batch, { signal }) => (message, failure) => {
        settle(message, failure)
        if (signal.aborted) setTimeout(() => settle(message), 20)
      }),
  },
  {
    name: 'settles-again-at-close',
    case: 'CNF-09',
    caught: /not settled again/,
    sabotage: () => (driver) => {
      const failed: (() => void)[] = []
      const closed = { code: 'CLOSED', retryable: false, maybeSent: false, scope: 'transport' } as const
      const answered = answering(driver, (settle) => (message, failure) => {
        if (failure !== undefined) failed.push(() => settle(message, closed))
        settle(message, failure)
      })
      return like(answered, {
        async close(call) {
          await driver.close(call)
          for (const again of failed.splice(0)) again()
        },
      })
    },
  },
]
