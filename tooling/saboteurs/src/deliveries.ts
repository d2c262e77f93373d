/** What saboteurs of consumers have in common. */
import type { Delivery, Driver, Source, SubscribeOptions, Subscription } from '@notify/core'
import { like } from './saboteur.ts'

/** Opens a subscription of a driver that can do so. */
export function open(
  driver: Driver,
  source: Source,
  onDelivery: (delivery: Delivery) => void,
  options: SubscribeOptions,
): Promise<Subscription> {
  return (driver.subscribe as NonNullable<Driver['subscribe']>)(source, onDelivery, options)
}

/** A driver whose deliveries are changed on their way. */
export function delivering(
  driver: Driver,
  change: (delivery: Delivery) => Delivery,
  parts: Partial<Driver> = {},
): Driver {
  return like(driver, {
    ...parts,
    subscribe: (source, onDelivery, options) =>
      open(driver, source, (delivery) => onDelivery(change(delivery)), options),
  })
}

/** A delivery like another one, but for some of its parts. */
export function deliveryLike(delivery: Delivery, parts: Partial<Delivery>): Delivery {
  return {
    ...delivery,
    ack: () => delivery.ack(),
    requeue: (options) => (options === undefined ? delivery.requeue() : delivery.requeue(options)),
    ...parts,
  }
}

/** A subscription like another one, but for some of its parts. */
export function subscriptionLike(subscription: Subscription, parts: Partial<Subscription>): Subscription {
  return {
    ended: subscription.ended,
    pause: () => subscription.pause(),
    close: (options) => subscription.close(options),
    ...parts,
  }
}

/** What tells messages apart that nobody has numbered. */
export function fingerprint({ body }: Pick<Delivery, 'body'>): string {
  return Buffer.from(body).toString('latin1')
}
