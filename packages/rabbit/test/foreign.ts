/** RabbitMQ as programs see it that know nothing of this library. */
import { eventually, type RabbitBroker, type Stored as StoredInRabbit } from '@notify/brokers'
import type { RawMessage, Stored } from '@notify/conformance'
import { type ConfirmChannel, connect } from 'amqplib'

/** Puts a message into a queue, which is made if it is missing, past all exchanges of ours. */
export async function publishRaw(url: string, queue: string, { body, headers }: RawMessage): Promise<void> {
  await withChannel(url, async (channel) => {
    const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': 2_147_483_647 }
    await channel.assertQueue(queue, { durable: true, arguments: quorum })
    const content = Buffer.from(body ?? new Uint8Array())
    channel.sendToQueue(queue, content, headers === undefined ? {} : { headers })
    await channel.waitForConfirms()
  })
}

/** A policy makes the queue full. Its limit is a soft one: it is in force once the broker has said no. */
export async function fill({ url, faults }: RabbitBroker, queue: string): Promise<void> {
  await publishRaw(url, queue, {})
  await faults.policy(`full-${queue}`, `^${queue}$`, { 'max-length': 1, overflow: 'reject-publish' })
  const refused = (channel: ConfirmChannel): Promise<boolean> =>
    new Promise((resolve) =>
      channel.sendToQueue(queue, Buffer.alloc(0), {}, (error) => resolve(error !== null)),
    )
  await withChannel(url, (channel) => eventually(() => refused(channel), { what: `${queue} is full` }))
}

/** As the README says what is where. */
export function toStored({ body, properties }: StoredInRabbit): Stored {
  const headers: Record<string, string> = Object.create(null)
  const { 'notify-key': key, ...table } = properties.headers ?? {}
  for (const [name, value] of Object.entries(table)) {
    // RabbitMQ 3.10 counts in the headers of a message from the first delivery on.
    if (name !== 'x-delivery-count') headers[name.replace(/^notify-h-/, '')] = String(value)
  }
  const contentType = properties.contentType as string | undefined
  return {
    body,
    headers,
    ...(contentType === undefined ? {} : { contentType }),
    ...(key === undefined ? {} : { key: String(key) }),
  }
}

async function withChannel(url: string, work: (channel: ConfirmChannel) => Promise<unknown>): Promise<void> {
  const connection = await connect(url)
  try {
    await work(await connection.createConfirmChannel())
  } finally {
    await connection.close()
  }
}
