import type { Capabilities, Driver, OutboundMessage, Settle, Status } from '../../src/driver.ts'
import type { Envelope } from '../../src/envelope.ts'
import type { Failure } from '../../src/errors.ts'

/** One message of one call, and what the script has answered so far. */
interface Handed {
  readonly message: OutboundMessage
  readonly call: ScriptedCall
  /** By the script, at least once. */
  readonly settled: boolean
  /** Answers it, again if need be: nothing here keeps a script from breaking the contract. */
  settle(failure?: Failure): void
}

/** One call of `publish`. */
interface ScriptedCall {
  readonly messages: readonly OutboundMessage[]
  readonly handed: readonly Handed[]
  readonly settle: Settle
  readonly signal: AbortSignal
  readonly timeoutMs: number
  /** What is not answered. */
  readonly open: readonly Handed[]
}

/** How a message is answered from within `publish`: not at all, with success, or with a failure. */
type Reply = 'hold' | 'confirm' | Failure

/** A driver that does what a test says, and remembers what it was asked to do. */
export interface Scripted extends Driver {
  /** Every call of `publish`, the first one first. */
  readonly calls: readonly ScriptedCall[]
  /** Every message ever handed over. */
  readonly handed: readonly Handed[]
  /** What is not answered yet. */
  readonly open: readonly Handed[]
  /** Event types in the order in which they were handed over, retries included. */
  readonly sent: readonly string[]
  /** From now on. `'hold'` at first: nothing is answered but by the test. */
  reply: Reply | ((message: OutboundMessage) => Reply)
  /** Replaces all of `publish` where a reply is not enough. */
  onPublish: Driver['publish'] | undefined
  onHealth: Driver['health'] | undefined
  onClose: Driver['close'] | undefined
  /** Answers what is open, or the one handed over for `event_type`. */
  confirm(event_type?: string): void
  fail(failure: Failure, event_type?: string): void
  /** Tells who observes. */
  status(state: Status['state'], failure?: Failure): void
  /** How often each was called. */
  readonly closes: number
  readonly observers: number
}

export interface ScriptedOptions {
  readonly name?: string
  readonly capabilities?: Partial<Capabilities>
  readonly reply?: Scripted['reply']
}

export const CAPABILITIES: Capabilities = Object.freeze({
  confirms: 'broker',
  discards: false,
  ordering: 'none',
  deduplication: false,
  requeue: false,
  delay: false,
  deliveryCount: false,
  groups: false,
  sharing: 'message',
  history: false,
  maxMessageBytes: 2 ** 20,
  maxBatch: 100,
  maxBatchBytes: 2 ** 20,
  window: Object.freeze({ messages: 1_000, bytes: 2 ** 24 }),
})

/** A failure of one message, retryable where its code says so, of which nothing was sent, unless said otherwise. */
export function trouble(code: Failure['code'], rest: Partial<Failure> = {}): Failure {
  const retryable = code === 'UNAVAILABLE' || code === 'THROTTLED'
  return { code, retryable, maybeSent: false, scope: 'message', ...rest }
}

/** The whole transport is away. */
export const DOWN: Failure = trouble('UNAVAILABLE', { scope: 'transport', reason: 'refused' })

/** What a driver with `ordering: 'key'` says of the rest of a key. */
export const BEHIND_FAILURE: Failure = trouble('UNAVAILABLE', { reason: 'after-failure' })

/** What a message says. */
export function envelopeOf({ body }: Pick<OutboundMessage, 'body'>): Envelope<Record<string, unknown>> {
  return JSON.parse(new TextDecoder().decode(body))
}

export function scripted({
  name = 'scripted',
  capabilities,
  reply = 'hold',
}: ScriptedOptions = {}): Scripted {
  const calls: ScriptedCall[] = []
  const handed: Handed[] = []
  const listeners = new Set<(status: Status) => void>()
  let closes = 0
  const open = (event_type?: string) =>
    handed.filter(
      ({ settled, message }) =>
        !settled && (event_type === undefined || envelopeOf(message).event_type === event_type),
    )
  const driver: Scripted = {
    contract: 1,
    name,
    capabilities: Object.freeze({ ...CAPABILITIES, ...capabilities }),
    calls,
    handed,
    get open() {
      return open()
    },
    get sent() {
      return handed.map(({ message }) => envelopeOf(message).event_type)
    },
    get closes() {
      return closes
    },
    get observers() {
      return listeners.size
    },
    reply,
    onPublish: undefined,
    onHealth: undefined,
    onClose: undefined,
    publish(messages, settle, options) {
      const mine: Handed[] = []
      const call: ScriptedCall = {
        messages,
        handed: mine,
        settle,
        signal: options.signal,
        timeoutMs: options.timeoutMs,
        get open() {
          return mine.filter(({ settled }) => !settled)
        },
      }
      for (const message of messages) {
        let settled = false
        mine.push({
          message,
          call,
          get settled() {
            return settled
          },
          settle(failure) {
            settled = true
            settle(message, failure)
          },
        })
      }
      calls.push(call)
      handed.push(...mine)
      if (driver.onPublish !== undefined) return driver.onPublish(messages, settle, options)
      for (const each of mine) {
        const answer = typeof driver.reply === 'function' ? driver.reply(each.message) : driver.reply
        if (answer === 'confirm') each.settle()
        else if (answer !== 'hold') each.settle(answer)
      }
    },
    confirm(event_type) {
      for (const each of open(event_type)) each.settle()
    },
    fail(failure, event_type) {
      for (const each of open(event_type)) each.settle(failure)
    },
    status(state, failure) {
      for (const listener of listeners) listener(failure === undefined ? { state } : { state, failure })
    },
    observe(listener) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
    async health(options) {
      return driver.onHealth === undefined ? { ok: true, warnings: [] } : driver.onHealth(options)
    },
    async close(options) {
      closes++
      await driver.onClose?.(options)
    },
  }
  return driver
}
