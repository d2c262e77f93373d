/** What a saboteur does to messages: on their way to the broker, and on their way from it. */
import type { Delivery, Driver, OutboundMessage, Source } from '@notify/core'
import { like } from './saboteur.ts'

/**
 * A driver to whose messages something happens before the broker has them: each becomes what `change` makes of it, or
 * several of that. What it drops is confirmed all the same.
 */
export function outbound(
  driver: Driver,
  change: (
    message: OutboundMessage,
    index: number,
    batch: readonly OutboundMessage[],
  ) => OutboundMessage | readonly OutboundMessage[],
): Driver {
  return like(driver, {
    publish(batch, settle, call) {
      const originals = new Map<OutboundMessage, OutboundMessage>()
      const byDestination = new Map<string, OutboundMessage[]>()
      const dropped: OutboundMessage[] = []
      for (const [index, message] of batch.entries()) {
        const copies = [change(message, index, batch)].flat() as OutboundMessage[]
        if (copies.length === 0) dropped.push(message)
        for (const [turn, each] of copies.entries()) {
          const copy = { ...each }
          if (turn === 0) originals.set(copy, message)
          const { name } = copy.destination
          byDestination.set(name, [...(byDestination.get(name) ?? []), copy])
        }
      }
      queueMicrotask(() => dropped.forEach((message) => void settle(message)))
      for (const copies of byDestination.values()) {
        void driver.publish(
          copies,
          (copy, failure) => {
            const original = originals.get(copy)
            if (original !== undefined) settle(original, failure)
          },
          call,
        )
      }
    },
  })
}

/** A driver to whose deliveries something happens before anybody sees them: `pass` passes one on. */
export function inbound(
  driver: Driver,
  change: (delivery: Delivery, pass: (delivery: Delivery) => void, source: Source) => void,
): Driver {
  return like(driver, {
    subscribe: (source, onDelivery, options) =>
      (driver.subscribe as NonNullable<Driver['subscribe']>).call(
        driver,
        source,
        (delivery) => change(delivery, onDelivery, source),
        options,
      ),
  })
}

/** The same delivery with something else about it. */
export function changed(delivery: Delivery, parts: Partial<Delivery>): Delivery {
  return {
    ...delivery,
    ack: () => delivery.ack(),
    requeue: (options) => delivery.requeue(options),
    ...parts,
  }
}
