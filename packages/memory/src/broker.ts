import { checkOptions, type Delivery, type Failure, failure as fault, type Source } from '@notify/core'
import { Recent, Seen } from './collections.ts'
import { checkCount, likely, refuse, sizeOf, toHeaders } from './failures.ts'
import { type Consumer, type Entry, Queue, type Stored } from './queue.ts'
import { Turns } from './turns.ts'

/** What a broker keeps, and for how long. */
export interface MemoryBrokerOptions {
  /**
   * What one queue holds at most, unsettled messages included. A publish beyond it is `THROTTLED`,
   * `queue-full`. Default: 1,000,000 messages, 1 GiB.
   */
  readonly limit?: { readonly messages?: number; readonly bytes?: number }
  /**
   * For how long a second message with the same `dedupId` is dropped, in milliseconds; each id costs about
   * 100 bytes for up to twice as long. `false`: never. Default: 120,000.
   */
  readonly deduplication?: false | { readonly windowMs: number }
  /**
   * How many of the newest messages of a destination a group that begins `from: 'earliest'` finds, within
   * 16 MiB. 0: such a group is refused. Default: 1,000.
   */
  readonly history?: number
}

/** What somebody puts into the broker: a driver, or anybody else, who may be careless. */
export interface Inbound {
  readonly destination: { readonly name: string }
  readonly body?: Uint8Array
  /** Values that are no strings arrive as strings; names that no header can have do not arrive. */
  readonly headers?: Readonly<Record<string, unknown>>
  readonly contentType?: string
  readonly key?: string
  /** Absent: it is never taken for a duplicate. */
  readonly dedupId?: string
}

/** What lies in a queue. Copies: changing them changes nothing. */
export interface Held {
  readonly body: Uint8Array
  readonly headers: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly key?: string
  /** How often it was delivered so far. */
  readonly deliveries: number
}

/**
 * The broker's own side: what an administrator would do, and what tests look at. Destinations go by name,
 * such as `notifications.info`; a group that is absent is the default one.
 */
export interface MemoryBroker {
  /** What a queue holds, the oldest first, unsettled and delayed messages included. */
  messages(destination: string, group?: string): Held[]
  /** How many messages that is. */
  count(destination: string, group?: string): number
  consumers(destination: string, group?: string): number
  /** Makes the queues of these groups, `null` being the default one. Those that exist are left alone. */
  declare(destination: string, groups?: readonly (string | null)[]): void
  exists(destination: string): boolean
  /** Deletes a destination with all that is in it. Its subscriptions end `UNROUTABLE`. */
  remove(destination: string): void
  /** From now on, or until told otherwise, the destination takes nothing: `THROTTLED`, `queue-full`. */
  refuse(destination: string, refused?: boolean): void
  /** Stores a message in all queues of its destination, or in none. `onStored` is spared duplicates. */
  put(message: Inbound, onStored?: (stored: Stored) => void): Failure | undefined

  /** The rest is for the driver. */
  readonly windowMs: number
  readonly history: number
  readonly answers: Pick<Turns, 'add' | 'spend'>
  consume(source: Source, onDelivery: (delivery: Delivery) => void, options: Consume): Consumer | Failure
  /** What is not idle: the queues that have a consumer and hold something. */
  busy(): string[]
  /** Hears whenever it may have become idle. Returns a function that stops it. */
  listen(listener: () => void): () => void
  /** Queues that hold more than half of what they can, and that nobody consumes. */
  forgotten(): string[]
}

interface Consume {
  readonly prefetch: number
  readonly from: 'new' | 'earliest'
  readonly declare: boolean
}

export const BROKER_OPTIONS: readonly string[] = ['limit', 'deduplication', 'history']
const HISTORY_BYTES = 16 * 2 ** 20

/** A broker that lives in this process and dies with it. Share one among drivers: `memory({ broker })`. */
export function memoryBroker(options: MemoryBrokerOptions = {}): MemoryBroker {
  checkOptions('memoryBroker', options, BROKER_OPTIONS)
  checkOptions('limit', options.limit ?? {}, ['messages', 'bytes'])
  checkCount('limit.messages', options.limit?.messages)
  checkCount('limit.bytes', options.limit?.bytes)
  checkCount('history', options.history)
  const maxMessages = options.limit?.messages ?? 1_000_000
  const maxBytes = options.limit?.bytes ?? 2 ** 30
  const windowMs = options.deduplication === false ? 0 : (options.deduplication?.windowMs ?? 120_000)
  if (!(windowMs >= 0)) refuse('deduplication must be false, or { windowMs } of at least 0.')
  const history = options.history ?? 1_000
  const answers = new Turns()
  const deliveries = new Turns()
  const stations = new Map<string, Station>()
  const refused = new Set<string>()
  const seen = new Seen(windowMs)
  let sequence = 0

  function declare(name: string, groups: readonly (string | null)[] = [null]): Station {
    let station = stations.get(name)
    if (station === undefined) {
      station = { queues: new Map(), past: new Recent(history, HISTORY_BYTES) }
      stations.set(name, station)
    }
    for (const group of groups) {
      if (!station.queues.has(group)) station.queues.set(group, new Queue(deliveries))
    }
    return station
  }

  const queue = (name: string, group?: string) => stations.get(name)?.queues.get(group ?? null)

  return {
    windowMs,
    history,
    answers,
    declare: (name, groups) => void declare(name, groups),
    exists: (name) => stations.has(name),
    messages: (name, group) => queue(name, group)?.all().map(toHeld) ?? [],
    count: (name, group) => queue(name, group)?.messages ?? 0,
    consumers: (name, group) => queue(name, group)?.consumers ?? 0,
    remove(name) {
      const station = stations.get(name)
      stations.delete(name)
      for (const each of station?.queues.values() ?? []) each.end(missing(name))
    },
    refuse(name, isRefused = true) {
      if (isRefused) refused.add(name)
      else refused.delete(name)
    },
    put(inbound, onStored) {
      const { name } = inbound.destination
      const station = stations.get(name)
      if (station === undefined) return missing(name)
      const { dedupId } = inbound
      if (dedupId !== undefined && seen.has(dedupId)) return undefined
      if (refused.has(name)) return full(name)
      const message = toStored(inbound, sequence++)
      for (const { messages, bytes } of station.queues.values()) {
        if (messages >= maxMessages || bytes + message.size > maxBytes) return full(name)
      }
      if (dedupId !== undefined) seen.add(dedupId)
      if (history > 0) station.past.push(message)
      for (const each of station.queues.values()) each.push(message)
      onStored?.(message)
      return undefined
    },
    consume({ destination, group }, onDelivery, { prefetch, from, declare: mayDeclare }) {
      const name = group ?? null
      const station = mayDeclare ? declare(destination.name, []) : stations.get(destination.name)
      let found = station?.queues.get(name)
      if (found === undefined) {
        if (!mayDeclare || station === undefined) return missing(destination.name)
        found = new Queue(deliveries)
        station.queues.set(name, found)
        if (from === 'earliest') for (const message of station.past) found.push(message)
      }
      return found.consume(destination, onDelivery, prefetch)
    },
    busy: () => names(stations, (each) => each.consumers > 0 && each.messages > 0),
    listen(listener) {
      const stops = [answers.listen(listener), deliveries.listen(listener)]
      return () => {
        for (const stop of stops) stop()
      }
    },
    forgotten: () =>
      names(
        stations,
        ({ consumers, messages, bytes }) =>
          consumers === 0 && (messages > maxMessages / 2 || bytes > maxBytes / 2),
      ),
  }
}

/** A destination: its queues by group, `null` being the default one, and its newest messages. */
interface Station {
  readonly queues: Map<string | null, Queue>
  readonly past: Recent<Stored>
}

function toStored({ body, headers, contentType, key }: Inbound, sequence: number): Stored {
  // A copy: the sender keeps its bytes, and may do with them what it likes once it has its answer.
  const bytes = copyOf(body ?? new Uint8Array())
  const strings = toHeaders(headers)
  return { sequence, body: bytes, contentType, headers: strings, key, size: sizeOf(bytes, strings, key) }
}

/** Node's pool takes a third off the cost of a publish. Nobody but the broker sees this copy. */
function copyOf(body: Uint8Array): Uint8Array {
  return globalThis.Buffer?.from(body) ?? new Uint8Array(body)
}

function toHeld({ message: { body, headers, contentType, key }, deliveries }: Entry): Held {
  return {
    body: new Uint8Array(body),
    headers: { ...headers },
    ...(contentType === undefined ? {} : { contentType }),
    ...(key === undefined ? {} : { key }),
    deliveries,
  }
}

function names(stations: Map<string, Station>, wanted: (queue: Queue) => boolean): string[] {
  const found: string[] = []
  for (const [name, { queues }] of stations) {
    for (const [group, queue] of queues) {
      if (wanted(queue)) found.push(`${name}${group === null ? '' : `@${group}`} (${queue.messages})`)
    }
  }
  return found
}

const missing = (name: string) =>
  fault('UNROUTABLE', 'no-destination', `There is no destination ${name}.`, likely('UNROUTABLE'))

const full = (name: string) =>
  fault('THROTTLED', 'queue-full', `A queue of ${name} is full.`, likely('THROTTLED'))
