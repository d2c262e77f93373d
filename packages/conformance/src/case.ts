import type { Trial } from './trial.ts'

/** One promise of the driver contract, and the proof. */
export interface Case {
  /** Stable and never reused: `CNF-01`. */
  readonly id: string
  /** `MUST …` or `SHOULD …`. */
  readonly title: string
  /** What the driver or its harness must have for it: `subscribe`, `groups`, `read`, `faults.kill`. */
  readonly needs: readonly Need[]
  /** After this time it has failed. In milliseconds. */
  readonly budgetMs: number
  /** Whether it wants the broker to itself. The suite sees to it, also when cases are run side by side. */
  readonly exclusive: boolean
  /** Never rejects. `signal` gives it up, as `skipped`. */
  run(signal?: AbortSignal): Promise<Result>
}

export type Status =
  | 'pass'
  | 'fail'
  /** The driver says that it cannot, and refuses where it must. */
  | 'unsupported'
  /** The harness lacks what the case needs. It is not a pass. */
  | 'blocked'
  /** Not chosen. */
  | 'skipped'
  /** Something broke that is not the driver: the harness, or the suite itself. */
  | 'error'

export interface Result {
  readonly id: string
  readonly status: Status
  readonly ms: number
  /** How many claims were checked. */
  readonly assertions: number
  /** Why it is no pass. */
  readonly reason?: string
  /** What a pass stands on: what another client found in the broker, or what the driver itself delivered. */
  readonly evidence?: 'observed' | 'round-trip'
  /** The driver's last events, the newest last. */
  readonly log: readonly string[]
}

/** What the driver must be able to do. */
type CapabilityNeed =
  | 'subscribe'
  | 'observe'
  | 'groups'
  | 'requeue'
  | 'delay'
  | 'deliveryCount'
  | 'history'
  | 'deduplication'
  /** `ordering: 'key'` */
  | 'ordering'
  /** It keeps what it is given, and this can be read or delivered. */
  | 'stored'
  /** `confirms: 'broker'` */
  | 'broker'

/** What the harness must have. */
type HarnessNeed =
  | 'read'
  | 'inject'
  | 'borrow'
  | 'address'
  | 'lease'
  /** `faults.cut`, or an address to put the proxy before. */
  | 'cut'
  | `faults.${'kill' | 'start' | 'pause' | 'resume' | 'block' | 'unblock' | 'refuse' | 'remove'}`

export type Need = CapabilityNeed | HarnessNeed

/** A case as it is written down. */
export interface Definition extends Omit<Case, 'run' | 'exclusive'> {
  readonly exclusive?: boolean
  prove(trial: Trial): Promise<void>
}
