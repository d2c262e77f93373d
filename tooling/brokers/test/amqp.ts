import { type ChannelModel, type ConfirmChannel, connect } from 'amqplib'
import type { TestContext } from 'vitest'
import { within } from '../src/eventually.ts'

/** A raw client, its connection ended with the test. */
export async function amqp(
  context: TestContext,
  url: string,
): Promise<{ connection: ChannelModel; channel: ConfirmChannel; closed: Promise<Error | undefined> }> {
  const connection = await connect(url, { timeout: 5_000 })
  const closed = new Promise<Error | undefined>((resolve) => {
    connection.on('error', () => {}).on('close', resolve)
  })
  context.onTestFinished(async () => {
    // Fails where the test has ended it already.
    await within(1_000, connection.close()).catch(() => {})
  })
  const channel = await connection.createConfirmChannel()
  channel.on('error', () => {})
  return { connection, channel, closed }
}

/** A name that no other test has. */
export function queueName(hint: string): string {
  return `${hint}-${process.pid}-${Math.random().toString(36).slice(2)}`
}

/** Resolves with the broker's confirm. */
export function publish(channel: ConfirmChannel, queue: string, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.sendToQueue(queue, Buffer.from(`body of ${id}`), { persistent: true, messageId: id }, (error) =>
      error === null ? resolve() : reject(error),
    )
  })
}
