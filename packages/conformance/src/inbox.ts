import type { Delivery, Destination, Failure, Subscription } from '@notify/core'

/** One open subscription, and everything that it has brought. */
export class Inbox {
  readonly destination: Destination
  /** All deliveries, in the order in which they came. */
  readonly deliveries: Delivery[] = []
  /** The reason, once the subscription has ended; `null` for none, after `close`. */
  end: Failure | null | undefined
  #subscription: Subscription | undefined

  constructor(destination: Destination) {
    this.destination = destination
  }

  get subscription(): Subscription {
    if (this.#subscription === undefined) throw new Error('the subscription is not open yet')
    return this.#subscription
  }

  opened(subscription: Subscription): void {
    this.#subscription = subscription
    subscription.ended.then(
      (reason) => {
        this.end = reason ?? null
      },
      () => {},
    )
  }

  /** The ids of what came, in order, duplicates included. */
  get ids(): string[] {
    return this.deliveries.map(({ body }) => idOf(body) ?? '?')
  }

  /** The deliveries of one id. */
  of(id: string): Delivery[] {
    return this.deliveries.filter(({ body }) => idOf(body) === id)
  }
}

const ENCODER = new TextEncoder()
const DECODER = new TextDecoder()
/** Far from anything that a body holds by chance. */
const MARK = 'conformance:'

/** A body that says which message it is, filled up to `size` bytes. */
export function bodyOf(id: string, size = 0): Uint8Array {
  const head = ENCODER.encode(`${MARK}${id}\n`)
  if (head.length >= size) return head
  const body = new Uint8Array(size).fill(0x2e)
  body.set(head)
  return body
}

/** Which message a body is of; `undefined` for one that the suite has not made. */
export function idOf(body: Uint8Array): string | undefined {
  // A driver that delivers something else is to be told so by a claim.
  if (!(body instanceof Uint8Array)) return undefined
  const text = DECODER.decode(body.subarray(0, 200))
  const end = text.indexOf('\n')
  return text.startsWith(MARK) && end > 0 ? text.slice(MARK.length, end) : undefined
}
