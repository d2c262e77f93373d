/** A flat account of all rounds, as it is published: `{ lost: 0, recoveryMsP99: 812 }`. */
export type Summary = Readonly<Record<string, string | number>>

/** A promise that takes many rounds to prove. The default export of `packages/<package>/soak/<name>.ts`. */
export interface SoakPromise<Round extends object = object> {
  /** The name of the file. */
  readonly name: string
  /** The promise, in one sentence. */
  readonly title: string
  /** So many rounds complete it. */
  readonly rounds: number
  /** Prepares what all rounds need. Nothing of it is left after `close`. */
  open(): Promise<Opened<Round>>
  summary(rounds: readonly Round[]): Summary
  /** Plain JSON that is kept with the figures, for a page of its own. */
  detail?(rounds: readonly Round[]): unknown
}

export interface Opened<Round extends object = object> {
  /** Of what takes part and is in no package: `{ RabbitMQ: '4.0.5' }`. */
  readonly versions: Readonly<Record<string, string>>
  /**
   * One round, in plain JSON, which its seed repeats as far as chance goes. Throws when the promise is broken, saying how. An error
   * named `Unproven` says that nothing was proved: what was to be broken was not, or not as it should have been.
   */
  round(turn: { readonly index: number; readonly seed: number }): Promise<Round>
  close(): Promise<void>
}
