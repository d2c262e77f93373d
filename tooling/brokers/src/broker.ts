/**
 * What every broker is to those who test with one, whatever its kind.
 *
 * There are two strengths. A {@link Broker} was found, or is shared by everything that runs: use names of your
 * own in it, and break nothing. An {@link OwnBroker} was started for its caller alone: kill it, pause it, fill
 * it. No fault is ever offered on a broker that somebody else may be using.
 */

/** Where something listens. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Exit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

/** A broker to connect to. */
export interface Broker extends Address, AsyncDisposable {
  /** Its kind, `rabbit`. */
  readonly name: string
  /** What it says it is, `4.0.5`. */
  readonly version: string
  /** With user and password. */
  readonly url: string
  /** Lets go of it. It ends if it was started for the caller alone, and goes on if others share it. */
  stop(): Promise<void>
}

/** One server process, and what can happen to it. */
export interface BrokerNode extends Address {
  readonly name: string
  readonly url: string
  /** The process that serves; `undefined` while there is none. */
  readonly pid: number | undefined
  /**
   * SIGKILL to the process that serves, sent before this returns. Resolves when it has ended. Its data stays as
   * it is on the disk.
   */
  kill(): Promise<Exit>
  /** SIGTERM: it may put its affairs in order. Resolves when it has ended; its data stays. */
  terminate(): Promise<Exit>
  /**
   * Starts it again where it was, with its data, after `kill` or `terminate`; one that runs is terminated first.
   * Resolves when it greets a client, and gives when that was, by `performance.now()`.
   */
  restart(): Promise<number>
  /** SIGSTOP to the process and those it started: connections stay open, and nothing answers. */
  pause(): void
  /** SIGCONT. */
  resume(): void
}

/** A broker that was started for its caller alone. As a node, it is all its nodes at once. */
export interface OwnBroker extends Broker, BrokerNode {
  readonly name: string
  readonly url: string
  readonly nodes: readonly BrokerNode[]
  /**
   * As with a node, but it resolves when all that was stored can be seen again: a broker greets before that. It
   * still gives when the first node greeted.
   */
  restart(): Promise<number>
  /** The end: no process is left, no data, no port. Safe to call twice, and in any state. */
  stop(): Promise<void>
}

/** This broker cannot be had here, for no fault of the code under test. The message says how to get it. */
export class BrokerUnavailable extends Error {
  override readonly name = 'BrokerUnavailable'
  readonly broker: string
  readonly reason: string
  readonly remedy: string

  constructor(broker: string, reason: string, remedy: string, options?: ErrorOptions) {
    super(`No ${broker} here: ${reason}. ${remedy}.`, options)
    this.broker = broker
    this.reason = reason
    this.remedy = remedy
  }
}

/** Whether a broker could not be had, as opposed to a broker that misbehaves. */
export function isUnavailable(error: unknown): error is BrokerUnavailable {
  return error instanceof Error && error.name === 'BrokerUnavailable'
}
