/** Drivers that keep every promise, and make it hard to see. The suite must pass them. */
import type { Delivery, Driver, Failure, OutboundMessage, Settle } from '@notify/core'
import { like } from './saboteur.ts'

export interface Awkward {
  readonly name: string
  around(driver: Driver): Driver
}

const LATE_MS = 40

export const AWKWARD: readonly Awkward[] = [
  { name: 'a wrapper that changes nothing', around: (driver) => like(driver, {}) },
  {
    name: 'one whose answers take their time',
    around: (driver) =>
      like(driver, {
        publish: (batch, settle, call) => {
          const slow = later(call.signal)
          return driver.publish(batch, (message, failure) => slow(() => settle(message, failure)), call)
        },
        async subscribe(source, onDelivery, options) {
          await pause(options.signal)
          return await (driver.subscribe as NonNullable<Driver['subscribe']>)(source, onDelivery, options)
        },
      }),
  },
  {
    name: 'one that settles out of order',
    around: (driver) =>
      like(driver, {
        publish: (batch, settle, call) => driver.publish(batch, shuffled(settle, call.signal), call),
      }),
  },
  {
    name: 'one that takes one message at a time',
    around: (driver) =>
      like(driver, { capabilities: Object.freeze({ ...driver.capabilities, maxBatch: 1 }) }),
  },
  {
    name: 'one that takes small messages alone',
    around: (driver) => {
      const small = { maxMessageBytes: 2_000, maxBatchBytes: 8_000 }
      const capabilities = Object.freeze({ ...driver.capabilities, ...small })
      return like(driver, {
        capabilities,
        publish(batch, settle, call) {
          const fits = batch.filter((message) => sizeOf(message) <= small.maxMessageBytes)
          for (const message of batch) {
            if (!fits.includes(message)) queueMicrotask(() => settle(message, TOO_LARGE))
          }
          return driver.publish(fits, settle, call)
        },
      })
    },
  },
  {
    name: 'one that closes slowly',
    around: (driver) =>
      like(driver, {
        async close(call) {
          await driver.close(call)
          await pause(call.signal, 5 * LATE_MS)
        },
      }),
  },
  { name: 'one that can do no more than it must', around: withFewestCapabilities },
]

const TOO_LARGE: Failure = {
  code: 'TOO_LARGE',
  reason: 'message-bytes',
  retryable: false,
  maybeSent: false,
  scope: 'message',
}

function withFewestCapabilities(driver: Driver): Driver {
  const capabilities = Object.freeze({
    ...driver.capabilities,
    ordering: 'none' as const,
    requeue: false,
    delay: false as const,
    deliveryCount: false,
    groups: false,
    history: false,
  })
  const refused = (what: string): Failure => ({
    code: 'UNSUPPORTED',
    reason: what,
    retryable: false,
    maybeSent: false,
    scope: 'message',
  })
  const bare = ({ deliveries: _, ...rest }: Delivery, original: Delivery): Delivery => ({
    ...rest,
    ack: () => original.ack(),
    requeue: () => Promise.reject(refused('requeue')),
  })
  const { observe: _, ...parts } = like(driver, {
    capabilities,
    async subscribe(source, onDelivery, options) {
      if (source.group !== undefined) throw refused('group')
      if (options.from === 'earliest') throw refused('from')
      const open = driver.subscribe as NonNullable<Driver['subscribe']>
      return await open(source, (delivery) => onDelivery(bare(delivery, delivery)), options)
    },
  })
  return parts
}

/** Runs things late, in their order; at once when the signal has fired, whose time it is then. */
function later(signal: AbortSignal): (what: () => void) => void {
  return (what) => {
    if (signal.aborted) what()
    else setTimeout(what, LATE_MS)
  }
}

/** Hands on in an order of its own what is settled within a short while. */
function shuffled(settle: Settle, signal: AbortSignal): Settle {
  let held: (() => void)[] = []
  const flush = (): void => {
    const all = held
    held = []
    for (const hand of all.reverse()) hand()
  }
  return (message, failure) => {
    if (signal.aborted) {
      settle(message, failure)
      return
    }
    if (held.push(() => settle(message, failure)) === 1) setTimeout(flush, 5)
  }
}

/** Waits, or until the signal fires. */
function pause(signal: AbortSignal, ms: number = LATE_MS): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end)
  })
}

function sizeOf({ body, headers, key = '' }: OutboundMessage): number {
  const texts = [key, ...Object.entries(headers).flat()]
  return body.length + texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
}
