import type { ConnectionOptions } from 'node:tls'
import { checkOptions, failure, NotifyError } from '@notify/core'
import type { ChannelModel, Options, SocketOptions } from 'amqplib'

/** What is used of a connection of amqplib. */
export type Connection = Pick<
  ChannelModel,
  'createChannel' | 'createConfirmChannel' | 'on' | 'removeListener'
>

/** Options of {@link rabbit}. One of `url`, `urls` and `connection`. */
export interface RabbitOptions {
  /** `amqp://user:password@host:5672/vhost`, or `amqps://`. Default: `amqp://127.0.0.1`, as guest. */
  readonly url?: string
  /** Several hosts of one cluster, tried in turn. */
  readonly urls?: readonly string[]
  /**
   * Connections of amqplib that are there already, left open on close. One for both means that an alarm stops
   * acknowledgements as well.
   */
  readonly connection?: Connection | { readonly publish: Connection; readonly consume: Connection }
  /** The topic exchange. Default: `notify`. */
  readonly exchange?: string
  /** `declare`: makes what is missing. `check`: looks once. `none`: touches nothing. Default: `declare`. */
  readonly topology?: 'declare' | 'check' | 'none'
  /** What is declared, durable in either case. Classic queues count no deliveries. Default: `quorum`. */
  readonly queueType?: 'quorum' | 'classic'
  /** For whom a publisher declares queues, `null` being the default group. Topics `*.dead` have that one alone. */
  readonly groups?: readonly (string | null)[]
  /** The largest message: body, key and headers, in bytes. Default: 16 MiB, as RabbitMQ 4 has it. */
  readonly maxMessageBytes?: number
  /** How long one host may take to connect. Default: 10,000. */
  readonly connectTimeoutMs?: number
  /** A broker that is silent for twice as long is taken for lost. Whole seconds; 0: never. Default: 10,000. */
  readonly heartbeatMs?: number
  /** For `amqps`: `{ ca, cert, key, servername }`, and whatever else `tls.connect` takes. */
  readonly tls?: ConnectionOptions
  /** For the socket, and what amqplib takes there: `{ keepAliveDelay, credentials, clientProperties }`. */
  readonly socket?: SocketOptions
}

/** A host to connect to, as amqplib takes it: no text from which somebody could read the password by mistake. */
export interface Host {
  readonly url: Options.Connect
  readonly socket: SocketOptions
}

const KNOWN = [
  'url',
  'urls',
  'connection',
  'exchange',
  'topology',
  'queueType',
  'groups',
  'maxMessageBytes',
  'connectTimeoutMs',
  'heartbeatMs',
  'tls',
  'socket',
]
const GROUP = /^[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?$/

export function checkRabbitOptions(options: RabbitOptions): void {
  checkOptions('rabbit', options, KNOWN)
  const { url, urls, connection, exchange, topology, queueType, groups } = options
  if ([url, urls, connection].filter((each) => each !== undefined).length > 1) {
    refuse('Only one of url, urls and connection can be given.')
  }
  if (urls !== undefined && (!Array.isArray(urls) || urls.length === 0)) refuse('urls must name a host.')
  if (exchange !== undefined && (typeof exchange !== 'string' || !/^[^\0]{1,255}$/.test(exchange))) {
    refuse('exchange must be a name of 1 to 255 characters.')
  }
  if (topology !== undefined && !['declare', 'check', 'none'].includes(topology)) {
    refuse('topology must be "declare", "check" or "none".')
  }
  if (queueType !== undefined && !['quorum', 'classic'].includes(queueType)) {
    refuse('queueType must be "quorum" or "classic".')
  }
  if (groups !== undefined && (!Array.isArray(groups) || groups.length === 0)) {
    refuse('groups must name a group, or hold null for the default one.')
  }
  for (const group of groups ?? []) {
    if (group !== null && !GROUP.test(group)) refuse(`"${group}" cannot be a group's name.`)
  }
  if (connection !== undefined) checkConnection(options)
  for (const name of ['tls', 'socket'] as const) {
    if (options[name] !== undefined && !isObject(options[name])) refuse(`${name} must be an object.`)
  }
  checkNumber('maxMessageBytes', options.maxMessageBytes, 1)
  checkNumber('connectTimeoutMs', options.connectTimeoutMs, 1)
  checkNumber('heartbeatMs', options.heartbeatMs, 0)
}

function checkConnection(options: RabbitOptions): void {
  const { connection } = options
  const each = ['publish', 'consume'].map((name) => (connection as Record<string, unknown> | null)?.[name])
  if (!isConnection(connection) && !each.every(isConnection)) {
    refuse('connection must be a connection of amqplib, or two: { publish, consume }.')
  }
  for (const name of ['connectTimeoutMs', 'heartbeatMs', 'tls', 'socket'] as const) {
    if (options[name] !== undefined) refuse(`${name} changes nothing of a connection that is there already.`)
  }
}

function isConnection(value: unknown): boolean {
  const methods = ['createChannel', 'createConfirmChannel', 'on', 'removeListener']
  return isObject(value) && methods.every((name) => typeof value[name] === 'function')
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}

/** @throws a NotifyError, `INVALID`, that does not hold the URL. */
export function hostsOf(options: RabbitOptions): Host[] {
  const { heartbeatMs = 10_000, connectTimeoutMs = 10_000, tls, socket } = options
  const settings = {
    noDelay: true,
    keepAlive: true,
    ...tls,
    ...socket,
    timeout: connectTimeoutMs,
  } as SocketOptions
  const texts = options.urls ?? [options.url ?? 'amqp://127.0.0.1']
  return texts.map((text) => {
    const url = { ...parse(text), heartbeat: Math.ceil(heartbeatMs / 1_000) }
    if (tls !== undefined && url.protocol === 'amqp') refuse('tls goes with amqps, and a URL says amqp.')
    return { url, socket: settings }
  })
}

function parse(text: string): Options.Connect {
  if (URL.canParse(text) && /[?#]/.test(text)) {
    const instead =
      'heartbeatMs, connectTimeoutMs, tls, socket, or for frameMax and channelMax a ready connection'
    refuse(`A URL takes no query and no fragment. There are options instead: ${instead}.`, 'url')
  }
  try {
    const { protocol, hostname, port, username, password, pathname } = new URL(text)
    if ((protocol === 'amqp:' || protocol === 'amqps:') && hostname !== '') {
      const anonymous = username === '' && password === ''
      return {
        protocol: protocol.slice(0, -1),
        hostname: hostname.replace(/^\[|\]$/g, ''),
        port: Number(port) || (protocol === 'amqp:' ? 5672 : 5671),
        username: anonymous ? 'guest' : decodeURIComponent(username),
        password: anonymous ? 'guest' : decodeURIComponent(password),
        vhost: pathname.length > 1 ? pathname.slice(1) : '/',
      }
    }
  } catch {
    // Its error holds the URL.
  }
  return refuse('A URL must be amqp://user:password@host:port/vhost, each part percent-encoded.', 'url')
}

function checkNumber(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && (!Number.isInteger(value) || value < least)) {
    refuse(`${name} must be a whole number of at least ${least}.`)
  }
}

function refuse(message: string, reason = 'option'): never {
  throw new NotifyError(failure('INVALID', reason, message))
}
