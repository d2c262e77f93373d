import { type Broker, findOrStart, isUnavailable } from '@notify/brokers'
import { consuming } from './consuming.ts'
import type { Figure } from './figure.ts'
import { openPlace } from './place.ts'
import { publishing } from './publishing.ts'

/** What the library costs on RabbitMQ, against amqplib used by hand on the same broker. */
export async function rabbitRates(rounds: number): Promise<Figure[]> {
  let broker: Broker
  try {
    broker = await findOrStart('rabbit')
  } catch (error) {
    if (!isUnavailable(error)) throw error
    console.log(`rabbit is left out: ${error.message}`)
    return []
  }
  const place = await openPlace(broker.url)
  try {
    return [...(await publishing(place, rounds)), ...(await consuming(place, Math.min(rounds, 12)))]
  } finally {
    await place.close()
    await broker.stop()
  }
}
