/**
 * What a RabbitMQ holds, asked by a client that has nothing to do with the code under test: each time on a
 * connection of its own, so that no question depends on what became of the broker since the last one.
 *
 * @module
 */
import { type Channel, type ChannelModel, connect, type Message } from 'amqplib'
import { eventually, within } from '../eventually.ts'

/** A message as it is stored. */
export interface Stored {
  /** The property `message_id`. */
  readonly id: string | undefined
  readonly body: Buffer
  readonly exchange: string
  readonly routingKey: string
  readonly redelivered: boolean
  readonly properties: Message['properties']
}

/** Answers are the broker's, in the end: a question is put again while it does not answer, or is not ready. */
export interface Oracle {
  exists(queue: string): Promise<boolean>
  /**
   * How many wait. What a consumer holds without having acknowledged it is not among them. Too low until the
   * broker has settled: `read` waits for that, this cannot.
   */
  count(queue: string): Promise<number>
  /** How many consumers the queue has. */
  consumers(queue: string): Promise<number>
  /**
   * All that wait, in their order, up to 65,535. They are taken out, or with `leave` put back as redelivered. Where
   * others consume as well, each gets a part.
   */
  read(queue: string, options?: { readonly leave?: boolean }): Promise<Stored[]>
  /** Takes the queue away, if it is there. */
  remove(queue: string): Promise<void>
}

export interface OracleOptions {
  /** The longest wait for an answer, a restart of the broker included. Default: 30 seconds. */
  readonly withinMs?: number
}

const NOT_FOUND = 404
/** What one channel may hold without acknowledging it. */
const MOST = 65_535

/** An oracle for the RabbitMQ at that URL. */
export function rabbitOracle(url: string, { withinMs = 30_000 }: OracleOptions = {}): Oracle {
  /** `undefined` if there is no such queue. */
  async function ask<T>(what: string, question: (channel: Channel) => Promise<T>): Promise<T | undefined> {
    const look = async (): Promise<{ answer: T | undefined }> => {
      const connection = await connect(url, { timeout: 5_000 })
      try {
        // On a queue whose leader is being chosen, a question may stay open for ever.
        return { answer: await within(withinMs / 2, on(connection, question)) }
      } catch (error) {
        if ((error as { code?: unknown }).code === NOT_FOUND) return { answer: undefined }
        throw error
      } finally {
        await within(2_000, connection.close()).catch(() => {})
      }
    }
    return (await eventually(look, { withinMs, everyMs: 50, what: `RabbitMQ answers ${what}` })).answer
  }

  async function state(queue: string): Promise<{ messageCount: number; consumerCount: number }> {
    const found = await ask(`what ${queue} is like`, (channel) => channel.checkQueue(queue))
    if (found === undefined) throw new Error(`no queue ${queue}`)
    return found
  }

  return {
    exists: async (queue) =>
      (await ask(`whether ${queue} is there`, (channel) => channel.checkQueue(queue))) !== undefined,
    count: async (queue) => (await state(queue)).messageCount,
    consumers: async (queue) => (await state(queue)).consumerCount,
    async read(queue, { leave = false } = {}) {
      const found = await ask(`what is in ${queue}`, (channel) => take(channel, queue, leave))
      if (found === undefined) throw new Error(`no queue ${queue}`)
      return found
    },
    remove: async (queue) => {
      await ask(`the end of ${queue}`, (channel) => channel.deleteQueue(queue))
    },
  }
}

/** Asks on a channel; fails with what the broker said if it closes one of the two. */
async function on<T>(connection: ChannelModel, question: (channel: Channel) => Promise<T>): Promise<T> {
  const failed = new Promise<never>((_, reject) => {
    connection.on('error', reject)
    connection.on('close', () => reject(new Error('the connection was closed')))
  })
  failed.catch(() => {})
  const channel = await connection.createChannel()
  let reason: unknown
  channel.on('error', (error) => {
    reason = error
  })
  try {
    return await Promise.race([question(channel), failed])
  } catch (error) {
    throw reason ?? error
  }
}

async function take(channel: Channel, queue: string, leave: boolean): Promise<Stored[]> {
  // Only a leader that has all messages answers this; what is counted before there is one may be too low.
  const first = await channel.get(queue)
  if (first === false) return []
  const taken = [toStored(first)]
  const { messageCount } = await channel.checkQueue(queue)
  if (messageCount >= MOST)
    throw new RangeError(`${queue} holds more than ${MOST}, which can be read at once`)
  if (messageCount > 0) {
    await channel.prefetch(MOST)
    const all = Promise.withResolvers<void>()
    const { consumerTag } = await channel.consume(queue, (message) => {
      if (message === null) return all.reject(new Error(`${queue} was deleted`))
      taken.push(toStored(message))
      if (taken.length === messageCount + 1) all.resolve()
    })
    await all.promise
    await channel.cancel(consumerTag)
  }
  if (leave) channel.nackAll(true)
  else channel.ackAll()
  // Has gone through when what follows is answered.
  await channel.checkQueue(queue)
  return taken
}

function toStored({ content, fields, properties }: Message): Stored {
  const { exchange, routingKey, redelivered } = fields
  return { id: properties.messageId, body: content, exchange, routingKey, redelivered, properties }
}
