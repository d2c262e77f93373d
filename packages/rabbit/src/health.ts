import { type CallOptions, failure, type Health } from '@notify/core'
import type { Channel, ChannelModel } from 'amqplib'
import { bounded, deadline } from './bounded.ts'
import { toFailure } from './classify.ts'
import { closeChannel, type Link, openChannel } from './link.ts'
import { hostsOf, type RabbitOptions } from './options.ts'

/** More than this in a queue that nobody consumes is no start-up any more. */
const FILLING = 1_000
/** The oldest release that is still looked after. */
const OLDEST = 4

/** Never rejects. `queues` are those that this driver has to do with. */
export async function checkHealth(
  link: Link,
  options: RabbitOptions,
  queues: Iterable<string>,
  call: CallOptions,
): Promise<Health> {
  const warnings = staticWarnings(options)
  if (link.blocked) {
    const blocked = failure('THROTTLED', 'blocked', 'An alarm of the broker blocks all who publish.', {
      retryable: true,
      scope: 'transport',
    })
    return { ok: false, warnings, failure: blocked }
  }
  const limits = deadline(call)
  try {
    const live = await link.connect(limits)
    const version = versionOf(live.connection as ChannelModel)
    if (Number.parseInt(version, 10) < OLDEST) {
      warnings.push(`RabbitMQ ${version} is out of support: run ${OLDEST} or later.`)
    }
    for (const queue of queues) {
      const { channel } = await openChannel(live, (connection) => connection.createChannel(), limits)
      try {
        const warning = await lookAt(channel, queue, limits)
        if (warning !== undefined) warnings.push(warning)
      } finally {
        void closeChannel(channel, live)
      }
    }
    return { ok: true, warnings }
  } catch (error) {
    return { ok: false, warnings, failure: toFailure(error) }
  }
}

async function lookAt(channel: Channel, queue: string, call: CallOptions): Promise<string | undefined> {
  try {
    const { messageCount, consumerCount } = await bounded('a queue', channel.checkQueue(queue), call)
    if (consumerCount > 0 || messageCount < FILLING) return undefined
    return `Nobody consumes ${queue}, which holds ${messageCount} messages.`
  } catch (error) {
    const { code, cause } = toFailure(error)
    if (code === 'UNROUTABLE') return `There is no queue ${queue}.`
    if (code === 'FORBIDDEN') return `${queue} may not be looked at.`
    throw cause ?? error
  }
}

/** What follows from the options. */
export function staticWarnings(options: RabbitOptions): string[] {
  const warnings: string[] = []
  if (options.queueType === 'classic') {
    warnings.push('A classic queue is kept by one node: what it holds is lost with that disk.')
  } else if ((options.topology ?? 'declare') !== 'declare') {
    warnings.push(
      'Queues are declared by others: a quorum queue without x-delivery-limit drops what was given back 20 times.',
    )
  }
  if (options.connection !== undefined) return warnings
  const hosts = hostsOf(options)
  if (hosts.some(({ url }) => url.protocol === 'amqp' && !isLoopback(url.hostname ?? ''))) {
    warnings.push('User and password travel in the clear: use amqps beyond this machine.')
  }
  const unchecked =
    options.tls?.rejectUnauthorized === false || process.env.NODE_TLS_REJECT_UNAUTHORIZED === '0'
  if (unchecked && hosts.some(({ url }) => url.protocol === 'amqps')) {
    warnings.push('The certificate of the broker is not checked.')
  }
  return warnings
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)
}

function versionOf({ connection }: ChannelModel): string {
  const { version } = (connection?.serverProperties ?? {}) as { version?: unknown }
  return String(version ?? '')
}
