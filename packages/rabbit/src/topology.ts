import { type Destination, type Failure, failure } from '@notify/core'
import type { Channel } from 'amqplib'
import type { RabbitOptions } from './options.ts'

/** What a destination needs at the broker. */
export interface Topology {
  readonly exchange: string
  readonly mode: 'declare' | 'check' | 'none'
  readonly queueType: 'quorum' | 'classic'
  /** The queues of a destination for which a publisher answers. */
  queuesOf(destination: Destination): string[]
  /** Makes or checks what is there, on a channel that an error ends. */
  prepare(channel: Channel, destination: Destination, queues: readonly string[]): Promise<void>
}

/** Without a limit of its own a quorum queue of RabbitMQ 4 drops what was given back 20 times, and says nothing. */
const NO_LIMIT = 2_147_483_647

export function topologyOf(options: RabbitOptions): Topology {
  const { exchange = 'notify', topology: mode = 'declare', queueType = 'quorum', groups = [null] } = options
  const quorum = { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_LIMIT }
  const settings = { durable: true, ...(queueType === 'quorum' ? { arguments: quorum } : {}) }

  return {
    exchange,
    mode,
    queueType,
    queuesOf({ topic, name }) {
      if (topic.endsWith('.dead')) return [name]
      return groups.map((group) => queueName(name, group ?? undefined))
    },
    async prepare(channel, { name }, queues) {
      if (mode === 'none') return
      if (mode === 'check') {
        await channel.checkExchange(exchange)
        for (const queue of queues) await channel.checkQueue(queue)
        return
      }
      await channel.assertExchange(exchange, 'topic', { durable: true })
      for (const queue of queues) {
        await channel.assertQueue(queue, settings)
        await channel.bindQueue(queue, exchange, name)
      }
    },
  }
}

/** `*` and `#` stand for any word in what a queue is bound by, `@` begins a group, and RabbitMQ drops ends of lines. */
const AMBIGUOUS = /[*#@\r\n]/

/** Why a name cannot be had: what it leads to would not be its own. */
export function refuseName(destination: string, group = ''): Failure | undefined {
  if (!AMBIGUOUS.test(destination) && !AMBIGUOUS.test(group)) return undefined
  const message = `RabbitMQ does not keep ${JSON.stringify(queueName(destination, group || undefined))} apart from others.`
  return failure('INVALID', 'destination-name', message, { scope: 'destination' })
}

/** No topic and no group has an `@`. */
export function queueName(destination: string, group: string | undefined): string {
  return group === undefined ? destination : `${destination}@${group}`
}
