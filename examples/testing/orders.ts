/** A program that emits, as yours might: it is given its notifier, and knows nothing of transports. */
import type { Notifier } from '@notify/core'

export interface Order {
  readonly order_id: number
  readonly total: number
}

/** Takes an order. The others need not know before the customer does: nothing is awaited. */
export function placeOrder(notifier: Notifier, order: Order): void {
  notifier.info('order.placed', order)
  if (order.total >= 10_000) notifier.warn('order.large', order)
}

/** Pays money back, but not before it is on record. */
export async function refund(notifier: Notifier, order: Order): Promise<'paid' | 'try again later'> {
  try {
    await notifier.audit('order.refunded', order, { timeoutMs: 1_000 })
    return 'paid'
  } catch {
    return 'try again later'
  }
}

/** Sends an order off, when the warehouse has found it. */
export function ship(notifier: Notifier, order: Order): void {
  setTimeout(() => notifier.info('order.shipped', order), 10)
}
