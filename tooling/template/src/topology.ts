import { type Destination, type Failure, failure } from '@notify/core'
import type { Connection } from './connection.ts'

/** A group's name, or null for the default one. */
export type Group = string | null

/** What a destination needs at the broker, and who sees to it. */
export class Topology {
  readonly #mode: 'declare' | 'check' | 'none'
  readonly #groups: readonly Group[]

  constructor(mode: 'declare' | 'check' | 'none' = 'declare', groups: readonly Group[] = [null]) {
    this.#mode = mode
    this.#groups = groups
  }

  /** For whom a publisher answers. Dead letters are for one group, whoever missed the message. */
  groupsOf({ topic }: Destination): readonly Group[] {
    return topic.endsWith('.dead') ? [null] : this.#groups
  }

  /** Makes the queues of these groups, or looks whether they are there. */
  async prepare(connection: Connection, name: string, groups: readonly Group[]): Promise<void> {
    if (this.#mode !== 'none') await connection.ask({ do: this.#mode, to: name, groups })
  }

  /** What was declared and is gone will be declared again, by the next call. */
  explain(failed: Failure): Failure {
    if (failed.code !== 'UNROUTABLE' || this.#mode !== 'declare') return failed
    return failure('UNAVAILABLE', 'destination-gone', 'The destination was removed.', {
      retryable: true,
      scope: 'destination',
      cause: failed.cause,
    })
  }
}
