import { randomUUID } from 'node:crypto'
import { connect } from 'amqplib'
import { INSTANCE } from './drivers.ts'
import type { Contender, Slice } from './turns.ts'

/** What a bench has to itself on a RabbitMQ that others may use as well. */
export interface Place {
  readonly url: string
  readonly exchange: string
  /** A topic whose INFO queue exists, and goes with the place. */
  topic(): Promise<Topic>
  /** A contender on a queue: it is empty when its turn begins, and holds what was counted when it ends. */
  publishing(queue: string, run: Slice): Contender
  /** Messages that wait in a queue, all the same. */
  fill(queue: string, body: Buffer, count: number): Promise<void>
  close(): Promise<void>
}

export interface Topic {
  readonly name: string
  /** Of priority INFO; also its routing key. */
  readonly queue: string
}

export const EVENT = 'compute.create_instance.end'

/** What an emit makes, as a program would write it by hand. */
export function envelope(message_id: string = randomUUID()): object {
  return {
    message_id,
    publisher_id: 'bench',
    event_type: EVENT,
    priority: 'INFO',
    payload: INSTANCE,
    timestamp: new Date().toISOString(),
  }
}

/** How many messages are under way while a queue is filled. */
const FILLING = 5_000

export async function openPlace(url: string): Promise<Place> {
  const unique = `bench-${randomUUID().slice(0, 8)}`
  const connection = await connect(url)
  const control = await connection.createChannel()
  const filler = await connection.createConfirmChannel()
  const queues: string[] = []
  /** What was confirmed in the last turn on each queue. */
  const sent = new Map<string, number>()
  await control.assertExchange(unique, 'topic', { durable: true })

  const purge = async (queue: string) => (await control.purgeQueue(queue)).messageCount

  return {
    url,
    exchange: unique,

    async topic() {
      const name = `${unique}-${queues.length}`
      const queue = `${name}.info`
      // As the driver declares them.
      const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': 2_147_483_647 }
      await control.assertQueue(queue, { durable: true, arguments: quorum })
      await control.bindQueue(queue, unique, queue)
      queues.push(queue)
      return { name, queue }
    },

    publishing(queue, run) {
      return {
        async before() {
          const stored = await purge(queue)
          const confirmed = sent.get(queue) ?? 0
          if (stored !== confirmed) throw new Error(`${confirmed} were confirmed, ${stored} are stored.`)
        },
        async run(ms) {
          const confirmed = await run(ms)
          sent.set(queue, confirmed)
          return confirmed
        },
      }
    },

    async fill(queue, body, count) {
      for (let left = count; left > 0; left -= FILLING) {
        for (let i = 0; i < Math.min(left, FILLING); i++) {
          filler.publish('', queue, body, { persistent: true, contentType: 'application/json' })
        }
        await filler.waitForConfirms()
      }
    },

    async close() {
      for (const queue of queues) await control.deleteQueue(queue)
      await control.deleteExchange(unique)
      await connection.close()
    },
  }
}
