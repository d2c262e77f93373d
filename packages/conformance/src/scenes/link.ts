import type { Destination, Driver, OutboundMessage } from '@notify/core'
import type { Call } from '../call.ts'
import type { OpenOptions } from '../harness.ts'
import type { TcpProxy } from '../proxy/proxy.ts'
import { PATIENCE_MS, type Trial } from '../trial.ts'
import { atMost } from '../wait.ts'
import { Sightings } from './sightings.ts'

/** What was lost with a connection. */
export interface Loss {
  readonly calls: readonly Call[]
  /** What had gone out on the wire by then, for sure. */
  readonly written: readonly OutboundMessage[]
}

/** A way to the broker that breaks when it is told to: through a proxy, where the broker has an address. */
export class Link {
  readonly proxy: TcpProxy | undefined
  readonly #trial: Trial

  constructor(trial: Trial, proxy: TcpProxy | undefined) {
    this.#trial = trial
    this.proxy = proxy
  }

  /** For a case that needs `cut`. */
  static async open(trial: Trial): Promise<Link> {
    return new Link(trial, trial.harness.broker.address === undefined ? undefined : await trial.proxy())
  }

  /** The proxy, for a case that needs `address`. */
  get wire(): TcpProxy {
    if (this.proxy === undefined) throw new Error(`${this.#trial.id} must need address`)
    return this.proxy
  }

  /** A driver whose connections go this way. */
  open(options: OpenOptions = {}): Promise<Driver> {
    const { proxy } = this
    return this.#trial.open(proxy === undefined ? options : { ...options, address: proxy.address })
  }

  /** Breaks all connections, with what is under way. */
  async cut(): Promise<void> {
    if (this.proxy === undefined) {
      await this.#trial.fault('cut')
      return
    }
    this.#trial.log.add('the proxy cuts all connections')
    this.proxy.cut()
  }

  /**
   * Sends each batch, and cuts when the broker has had time for it and no answer has come back; where there is no
   * wire, as soon as it is handed over. Resolves when all is settled.
   */
  async loseAnswers(driver: Driver, batches: readonly (readonly OutboundMessage[])[]): Promise<Loss> {
    const { proxy } = this
    if (proxy === undefined) {
      const calls = this.#send(driver, batches)
      await this.cut()
      return await this.#lost(calls, [])
    }
    const sightings = new Sightings(proxy.up, batches.flat())
    proxy.down.hold()
    const calls = this.#send(driver, batches)
    const written = await sightings.gone(this.#trial.times.deliverMs)
    await this.#trial.quiet()
    await this.cut()
    proxy.down.release()
    return await this.#lost(calls, written)
  }

  /** The same, also where there is no wire: of a broker that has fallen silent no answer comes before the cut. */
  async loseUnanswered(driver: Driver, batches: readonly (readonly OutboundMessage[])[]): Promise<Loss> {
    if (this.proxy !== undefined) return await this.loseAnswers(driver, batches)
    let calls: readonly Call[] = []
    await this.cutUnder(() => {
      calls = this.#send(driver, batches)
    })
    return await this.#lost(calls, [])
  }

  /** Cuts right after `hand` has handed something over, and before there can be an answer to it, where it can be had. */
  async cutUnder(hand: () => void): Promise<void> {
    const trial = this.#trial
    const { pause, resume } = trial.harness.faults ?? {}
    const isSilent = this.proxy === undefined && pause !== undefined && resume !== undefined
    if (isSilent) await trial.fault('pause')
    hand()
    await this.cut()
    if (isSilent) await trial.fault('resume')
  }

  #send(driver: Driver, batches: readonly (readonly OutboundMessage[])[]): Call[] {
    return batches.map((batch) => this.#trial.send(driver, batch))
  }

  async #lost(calls: readonly Call[], written: readonly OutboundMessage[]): Promise<Loss> {
    for (const call of calls) await this.#trial.settled(call)
    return { calls, written }
  }

  /**
   * Publishes until something is confirmed, as core would after a loss: what was under way when it came, a connection
   * that was being opened for instance, may take the next attempts along.
   */
  async back(driver: Driver, destination: Destination): Promise<void> {
    const trial = this.#trial
    const isConfirmed = async (): Promise<boolean> =>
      (await trial.publish(driver, [trial.message(destination)])).confirmed.length > 0
    await trial.until(isConfirmed, 'after a loss publishing goes on', PATIENCE_MS)
  }

  /**
   * Sends, and cuts when the nth byte from now has gone out, or when no more goes out. Where there is no wire, as
   * {@link loseUnanswered} does.
   */
  async cutMidway(
    driver: Driver,
    batches: readonly (readonly OutboundMessage[])[],
    bytes: number,
  ): Promise<readonly Call[]> {
    const { proxy } = this
    if (proxy === undefined) return (await this.loseUnanswered(driver, batches)).calls
    const broken = proxy.up.cutAfter(bytes)
    const calls = this.#send(driver, batches)
    if ((await atMost(this.#trial.times.quietMs, broken)) === undefined) await this.cut()
    return (await this.#lost(calls, [])).calls
  }
}

/** As many calls as core would have under way to one destination, up to `calls`, the first of them the largest. */
export function batchesOf(
  { capabilities }: Trial,
  calls: number,
  make: (count: number) => OutboundMessage[],
): OutboundMessage[][] {
  const { maxBatch, window } = capabilities
  const count = Math.min(calls, window.calls ?? calls)
  return Array.from({ length: count }, (_, index) => make(index === 0 ? Math.min(20, maxBatch) : 1))
}
