import { failure, type OutboundMessage, type Settle } from '@notify/core'
import { answering } from './answers.ts'
import { delivering, deliveryLike, open } from './deliveries.ts'
import { like, type Saboteur } from './saboteur.ts'

const unsupported = (what: string) => failure('UNSUPPORTED', what, 'This transport cannot do that.')

export const ERRORS: readonly Saboteur[] = [
  {
    name: 'wrong-code',
    case: 'ERR-01',
    caught: /a failure is whole, with a code of the closed set: .*code is "EINVAL"/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failed) => {
        settle(message, failed?.code === 'INVALID' ? { ...failed, code: 'EINVAL' as never } : failed)
      }),
  },
  {
    name: 'another-code',
    case: 'ERR-01',
    caught: /a failure says what happened: too many bytes: code is "INVALID", not "TOO_LARGE"/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failed) => {
        settle(message, failed?.code === 'TOO_LARGE' ? { ...failed, code: 'INVALID' } : failed)
      }),
  },
  {
    name: 'fails-with-errors',
    case: 'ERR-01',
    caught: /a failure is plain data: .*it is a "Error"/,
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failed) => {
        settle(message, failed && Object.assign(new Error(failed.message), failed))
      }),
  },
  {
    name: 'half-a-failure',
    case: 'ERR-01',
    caught: /a failure is whole, with a code of the closed set: a subscribe .*it has no scope/,
    sabotage: () => (driver) =>
      like(driver, {
        async subscribe(source, onDelivery, options) {
          try {
            return await open(driver, source, onDelivery, options)
          } catch (error) {
            const { code, retryable } = error as ReturnType<typeof unsupported>
            throw Object.assign(new Error(code), { code, retryable, maybeSent: false })
          }
        },
      }),
  },
  {
    name: 'wide-scope',
    case: 'ERR-01',
    caught: /a failure says what happened: .*scope is "transport", not "message"/,
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failed) => settle(message, failed && { ...failed, scope: 'transport' }),
      ),
  },
  {
    name: 'leaks-password',
    case: 'ERR-11',
    caught: /nothing that a driver says holds a secret, at any depth: .*, at message/,
    sabotage:
      () =>
      (driver, { password = '' }) =>
        answering(
          driver,
          (settle) => (message, failed) =>
            settle(message, failed && { ...failed, message: `amqp://guest:${password}@localhost failed` }),
        ),
  },
  {
    name: 'leaks-password-deep-down',
    case: 'ERR-11',
    caught: /nothing that a driver says holds a secret, at any depth: .*, at cause.cause.config/,
    sabotage:
      () =>
      (driver, { password = '' }) =>
        answering(driver, (settle) => (message, failed) => {
          const config = {
            login: Buffer.from(`PLAIN ${Buffer.from(`\0guest\0${password}`).toString('base64')}`),
          }
          const native = Object.defineProperty(new Error('refused'), 'config', { value: config })
          settle(message, failed && { ...failed, cause: new Error('no connection', { cause: native }) })
        }),
  },
  {
    name: 'leaks-password-in-health',
    case: 'ERR-11',
    caught: /nothing that a driver says holds a secret, at any depth: health with a password, at warnings/,
    sabotage:
      () =>
      (driver, { password = '' }) =>
        like(driver, {
          health: async (call) => ({ ...(await driver.health(call)), warnings: [`${password} is weak.`] }),
        }),
  },
  {
    name: 'drops-cause',
    case: 'ERR-11',
    caught: /a failure keeps the native error as its cause/,
    around: 'template',
    sabotage: () => (driver) =>
      answering(driver, (settle) => (message, failed) => {
        const { cause: _, ...rest } = failed ?? {}
        settle(message, failed && (rest as typeof failed))
      }),
  },
  {
    name: 'accepts-and-ignores',
    case: 'NEG-01',
    caught: /what is declared unsupported is refused: a group without groups: it did not reject/,
    sabotage: () => (driver) => {
      const capabilities = Object.freeze({ ...driver.capabilities, groups: false })
      return like(driver, {
        capabilities,
        subscribe: ({ destination }, onDelivery, options) =>
          open(driver, { destination }, onDelivery, options),
      })
    },
  },
  {
    name: 'begins-anywhere',
    case: 'NEG-01',
    caught: /what is declared unsupported is refused: from: 'earliest' without history: it did not reject/,
    sabotage: () => (driver) =>
      like(driver, { capabilities: Object.freeze({ ...driver.capabilities, history: false }) }),
  },
  {
    name: 'delays-for-less',
    case: 'NEG-01',
    caught: /what is declared unsupported is refused: requeue\(\{ delayMs: .*it resolved/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) =>
        deliveryLike(delivery, {
          requeue: ({ delayMs = 0 } = {}) => delivery.requeue({ delayMs: Math.min(delayMs, 1_000) }),
        }),
      ),
  },
  {
    name: 'counts-in-secret',
    case: 'NEG-01',
    caught: /deliveries are counted where the capabilities say so, and only there/,
    sabotage: () => (driver) =>
      like(driver, { capabilities: Object.freeze({ ...driver.capabilities, deliveryCount: false }) }),
  },
  {
    name: 'refuses-but-does',
    case: 'ERR-02',
    caught: /a subscribe that is refused opens no consumer/,
    sabotage: () => (driver) =>
      like(driver, {
        capabilities: Object.freeze({ ...driver.capabilities, groups: false }),
        async subscribe(source, onDelivery, options) {
          const subscription = await open(driver, source, onDelivery, options)
          if (source.group !== undefined) throw unsupported('group')
          return subscription
        },
      }),
  },
  {
    name: 'refuses-and-gives-back',
    case: 'ERR-02',
    caught: /a delivery whose requeue is refused is still open/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) =>
        deliveryLike(delivery, {
          async requeue(options) {
            await delivery.requeue()
            return await delivery.requeue(options)
          },
        }),
      ),
  },
  {
    name: 'refuses-and-is-done-with-it',
    case: 'ERR-02',
    caught: /a delivery whose requeue is refused is still open/,
    sabotage: () => (driver) =>
      delivering(driver, (delivery) => {
        let refused = false
        return deliveryLike(delivery, {
          ack: () => (refused ? Promise.resolve(false) : delivery.ack()),
          async requeue() {
            refused = true
            throw unsupported('requeue')
          },
        })
      }),
  },
  {
    name: 'noop-never-settles',
    case: 'NOP-01',
    caught: /each message of a call is settled/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          if (batch.length === 1) return driver.publish(batch, settle, call)
        },
      }),
  },
  {
    name: 'takes-anything',
    case: 'NOP-01',
    caught: /a message that nobody could carry is INVALID/,
    sabotage: () => (driver) =>
      answering(
        driver,
        (settle) => (message, failed) => settle(message, failed?.code === 'INVALID' ? undefined : failed),
      ),
  },
  {
    name: 'aborts-in-its-own-time',
    case: 'NOP-01',
    caught: /a message whose signal has fired is settled at once/,
    sabotage: () => (driver) =>
      answering(driver, (settle, _, { signal }) => {
        const late = signal.aborted
        return (message, failed) => {
          if (late) setTimeout(() => settle(message, failed), 300)
          else settle(message, failed)
        }
      }),
  },
  {
    name: 'module-state',
    case: 'CONC-01',
    caught: /two drivers may be handed the same messages/,
    sabotage() {
      const open = new Map<string, Settle>()
      return (driver) =>
        answering(driver, (settle, batch) => {
          for (const { id } of batch) open.set(id, settle)
          return (message: OutboundMessage, failed) => {
            open.get(message.id)?.(message, failed)
            open.delete(message.id)
          }
        })
    },
  },
  {
    name: 'one-call-at-a-time',
    case: 'CONC-01',
    caught: /a driver bears 1000 calls at once|each message is settled once|only messages of the call/,
    sabotage: () => (driver) => {
      let latest: Settle = () => {}
      return answering(driver, (settle) => {
        latest = settle
        return (message, failed) => latest(message, failed)
      })
    },
  },
  {
    name: 'gives-up-under-many-calls',
    case: 'CONC-01',
    caught: /a driver bears 1000 calls at once: .*THROTTLED/,
    sabotage: () => (driver) => {
      let calls = 0
      return like(driver, {
        publish(batch, settle, call) {
          const throttled = failure('THROTTLED', 'busy', undefined, { retryable: true })
          calls++
          setImmediate(() => calls--)
          if (calls < 500) return driver.publish(batch, settle, call)
          for (const message of batch) settle(message, throttled)
        },
      })
    },
  },
]
