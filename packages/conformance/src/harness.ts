/**
 * What the suite needs of a driver's author: how to open the driver, where to send, and, as far as there is such,
 * how to look into the broker from outside and how to break it.
 *
 * A harness is the default export of a module, `load: () => Harness | Promise<Harness>`. It is called when the first
 * case runs, once in each process: some cases start a child process, which imports `url` and calls it again.
 *
 * What is left out costs no failure: the cases that need it are reported as `blocked`, which is not `pass`.
 *
 * @example
 * export default (): Harness => ({
 *   driver: { package: 'notify-driver-acme', version: '1.0.0' },
 *   broker: { name: 'acme', version: async () => '3.2', address: { host: '127.0.0.1', port: 4000 } },
 *   url: import.meta.url,
 *   open: async ({ address = { host: '127.0.0.1', port: 4000 }, topology = 'declare' } = {}) => acme({ ...address, topology }),
 *   destination: async (hint, priority = 'INFO') => {
 *     const topic = `${hint}-${run}`
 *     return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
 *   },
 * })
 *
 * @module
 */
import type { Destination, Driver, OutboundMessage, Priority } from '@notify/core'

/** Where something listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** Makes the harness of a driver. */
export type Load = () => Harness | Promise<Harness>

/** A driver, its broker, and what can be done to both. */
export interface Harness {
  /** What is tested, for the report. */
  readonly driver: { readonly package: string; readonly version: string }
  /** `address`: where it listens, so that the suite can put its proxy before it. */
  readonly broker: { readonly name: string; version(): Promise<string>; readonly address?: Address }
  /** `import.meta.url` of the module that exports the harness. */
  readonly url: string
  /** A fresh driver with every call. It must not connect. The suite closes it. */
  open(options?: OpenOptions): Promise<Driver>
  /**
   * A destination that nothing else in this run, or an earlier one, uses. The same hint gives the same topic, so
   * that two priorities of one topic can be had. Nothing is made at the broker.
   */
  destination(hint: string, priority?: Priority): Promise<Destination>
  /** Looks into the broker through another client than the driver's. */
  read?(destination: Destination): Promise<Reader>
  /** Puts a message into the destination's default group as a program would that knows nothing of this library. */
  inject?(destination: Destination, raw: RawMessage): Promise<void>
  /**
   * What makes a message one for which the broker refuses the whole request that it comes in, without the driver's
   * knowing beforehand. Where there is no such thing, it is left out.
   */
  poison?(destination: Destination): Promise<Partial<OutboundMessage>>
  /**
   * A driver over an open connection that the harness made, and whether that connection is still open; for a pool,
   * whether a request through it is answered.
   */
  borrow?(): Promise<{ readonly driver: Driver; isOpen(): Promise<boolean> }>
  /** What can befall the broker. Only for one that nobody else uses. */
  readonly faults?: Partial<Faults>
  /** How old a destination must be before its broker may be killed, in milliseconds. Default: 0. */
  readonly settleTopologyMs?: number
  /** The shortest lease that `open({ leaseMs })` can set, where the broker has leases on deliveries. */
  readonly leaseMs?: number
  /** Called at the end. */
  dispose?(): Promise<void>
}

/** How a driver is to be opened. */
export interface OpenOptions {
  /** To connect there, in place of the broker's own address: nobody is there, or a proxy. */
  readonly address?: Address
  /** Default: `declare`. */
  readonly topology?: 'declare' | 'check' | 'none'
  /** How long a delivery is leased, where there are leases. */
  readonly leaseMs?: number
  /** In place of the right one. */
  readonly password?: string
}

/** What the broker holds of one destination, in its default group. Of what does not exist: nothing, and no error. */
export interface Reader {
  /** Everything that is stored now, the oldest first. It may consume what it gives. */
  all(): Promise<readonly Stored[]>
  /** How many are stored now. */
  count(): Promise<number>
  /**
   * How many consumers there are now, of the default group or of the one that is named. For a broker that knows only
   * polls: how many are polling.
   */
  consumers(group?: string): Promise<number>
}

/** A message at rest, as the driver's documentation says that another client finds it. */
export interface Stored {
  readonly body: Uint8Array
  /** Under the names that were published. */
  readonly headers: Readonly<Record<string, string>>
  readonly contentType?: string
  readonly key?: string
}

/** A message that no driver of this library has written. */
export interface RawMessage {
  /** Absent: as empty as the transport allows. */
  readonly body?: Uint8Array
  /** Values that the transport can hold, whatever they are: numbers, booleans, lists, tables. The others left out. */
  readonly headers?: Readonly<Record<string, unknown>>
}

/** What can befall a broker. */
export interface Faults {
  /** SIGKILL, sent before this returns. Resolves when the process has ended. */
  kill(): Promise<void>
  /** Back, with its data. Resolves when what was stored can be read again. */
  start(): Promise<void>
  /** SIGSTOP: connections stay open and nothing answers. */
  pause(): Promise<void>
  /** SIGCONT. */
  resume(): Promise<void>
  /** The broker's own alarm: it asks publishers for silence. */
  block(): Promise<void>
  unblock(): Promise<void>
  /** From now on the broker says no to what is published there: a full queue, a quota. */
  refuse(destination: Destination): Promise<void>
  /** An administrator deletes it. */
  remove(destination: Destination): Promise<void>
  /** All connections are closed, by the broker. Where it is not given, the suite's proxy does it. */
  cut(): Promise<void>
}
