/**
 * Acme, a broker over TCP that speaks in lines of JSON. One connection, opened when it is needed.
 *
 * | here | on acme |
 * |---|---|
 * | destination `notifications.info` | a destination of that name |
 * | default group, group `billing` | its queue `null`, its queue `"billing"` |
 * | key | the message's field `key` |
 * | confirmed | the broker's answer: written to its journal and synced, in every queue |
 *
 * At least once to each group. In order as long as nothing is given back and nothing fails.
 *
 * Read on in `publisher.ts`, `consumer.ts`, and `connection.ts` below both.
 *
 * @example
 * const driver = acme({ host: 'acme.internal', password: process.env.ACME_PASSWORD })
 * const notifier = createNotifier({ publisherId: 'shop', driver })
 * await notifier.info('order.placed', { order_id: 12 })
 * await notifier.close()
 *
 * @module
 */
import { type Capabilities, checkOptions, type Driver, failure, NotifyError } from '@notify/core'
import { bounded, deadline } from './bounded.ts'
import { Link } from './connection.ts'
import { Consumer } from './consumer.ts'
import { Publisher } from './publisher.ts'
import { Topology } from './topology.ts'
import { aborted, checkName, classify, closed, toFailure } from './wire.ts'

/** Options of {@link acme}. */
export interface AcmeOptions {
  /** Default: `127.0.0.1`. */
  readonly host?: string
  /** Default: 7450. */
  readonly port?: number
  /** Where the broker asks for one. It travels in the clear. */
  readonly password?: string
  /** `declare`: makes what is missing. `check`: looks once. `none`: touches nothing. Default: `declare`. */
  readonly topology?: 'declare' | 'check' | 'none'
  /** For whom a publisher declares queues, `null` being the default group. Topics `*.dead` have that one alone. */
  readonly groups?: readonly (string | null)[]
  /** The largest message: body, key and headers, in bytes. Default: 1 MiB. */
  readonly maxMessageBytes?: number
  /** A broker that leaves a question unanswered for so long is taken for lost. In ms. Default: 15,000. */
  readonly silenceMs?: number
}

/** A driver for acme. */
export interface AcmeDriver extends Driver {
  readonly subscribe: NonNullable<Driver['subscribe']>
  readonly observe: NonNullable<Driver['observe']>
}

/** A driver for acme. Connects to nothing until it is used. */
export function acme(options: AcmeOptions = {}): AcmeDriver {
  checkAcmeOptions(options)
  const capabilities = capabilitiesOf(options)
  const link = new Link(options)
  const topology = new Topology(options.topology, options.groups)
  const publisher = new Publisher(link, topology, capabilities.maxMessageBytes)
  const consumers = new Set<Consumer>()
  const warnings = warningsOf(options)
  let closing: Promise<void> | undefined

  return {
    contract: 1,
    name: 'acme',
    capabilities,

    publish: (batch, settle, call) => publisher.publish(batch, settle, call),

    async subscribe(source, onDelivery, { signal, timeoutMs, prefetch, from }) {
      if (closing !== undefined) throw closed()
      if (from === 'earliest') throw failure('UNSUPPORTED', 'from', 'Acme keeps nothing for a group to come.')
      const { destination, group = null } = source
      const refused = checkName(destination.name) ?? (group === null ? undefined : checkName(group))
      if (refused !== undefined) throw refused
      if (signal.aborted) throw aborted(signal)

      const limits = deadline({ signal, timeoutMs })
      const connection = await bounded(link.connect(), limits)
      await bounded(topology.prepare(connection, destination.name, [group]), limits)
      if (closing !== undefined) throw closed()
      const consumer = new Consumer(connection, topology, source, onDelivery)
      consumers.add(consumer)
      void consumer.ended.then(() => consumers.delete(consumer))
      try {
        await bounded(consumer.open(prefetch), limits)
        return consumer
      } catch (error) {
        // The broker reads one line after the other: behind the request, this undoes it, answered or not.
        await consumer.close({ timeoutMs: 0, signal })
        throw toFailure(error)
      }
    },

    observe: (listener) => link.observe(listener),

    async health(call) {
      try {
        if (closing !== undefined) throw closed()
        const limits = deadline(call)
        const connection = await bounded(link.connect(), limits)
        await bounded(connection.ask({ do: 'ping' }), limits)
        if (link.status.state === 'blocked') throw classify({ code: 'blocked' })
        return { ok: true, warnings }
      } catch (error) {
        return { ok: false, warnings, failure: toFailure(error) }
      }
    },

    close(call) {
      closing ??= Promise.all([
        publisher.close(call),
        ...[...consumers].map((consumer) => consumer.close(call)),
      ]).then(() => link.close())
      return closing
    },
  }
}

function capabilitiesOf({ maxMessageBytes = 2 ** 20 }: AcmeOptions): Capabilities {
  const bytes = Math.max(maxMessageBytes, 8 * 2 ** 20)
  return Object.freeze({
    confirms: 'broker',
    discards: false,
    ordering: 'none',
    deduplication: false,
    requeue: true,
    delay: false,
    deliveryCount: true,
    groups: true,
    sharing: 'message',
    history: false,
    maxMessageBytes,
    maxBatch: 500,
    maxBatchBytes: bytes,
    window: Object.freeze({ messages: 2_000, bytes }),
  })
}

function warningsOf({ host = '127.0.0.1', password }: AcmeOptions): string[] {
  const local = host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)
  return local || password === undefined ? [] : ['The password travels in the clear.']
}

const KNOWN = ['host', 'port', 'password', 'topology', 'groups', 'maxMessageBytes', 'silenceMs']

function checkAcmeOptions(options: AcmeOptions): void {
  checkOptions('acme', options, KNOWN)
  const { host = '127.0.0.1', port = 7450, password = '', topology = 'declare', groups = [null] } = options
  if (typeof host !== 'string' || host === '') refuse('host must be a name or an address.')
  if (!Number.isInteger(port) || port < 1 || port > 65_535) refuse('port must be a port.')
  if (typeof password !== 'string') refuse('password must be a string.')
  if (!['declare', 'check', 'none'].includes(topology)) {
    refuse('topology must be "declare", "check" or "none".')
  }
  if (!Array.isArray(groups) || groups.length === 0) {
    refuse('groups must name a group, or hold null for the default one.')
  }
  if (groups.some((group) => group !== null && checkName(group) !== undefined)) {
    refuse('groups must hold names, or null for the default one.')
  }
  for (const name of ['maxMessageBytes', 'silenceMs'] as const) {
    const { [name]: value = 1 } = options
    if (!Number.isInteger(value) || value < 1) refuse(`${name} must be a whole number of at least 1.`)
  }
}

function refuse(message: string): never {
  throw new NotifyError(failure('INVALID', 'option', message))
}
