import type { Destination, Driver, OutboundMessage } from '@notify/core'
import type { Call } from '../call.ts'
import type { OpenOptions } from '../harness.ts'
import type { TcpProxy } from '../proxy/proxy.ts'
import { PATIENCE_MS, type Trial } from '../trial.ts'
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
    const trial = this.#trial
    const { proxy } = this
    const send = (): Call[] => batches.map((batch) => trial.send(driver, batch))
    let loss: Loss
    if (proxy === undefined) {
      loss = { calls: send(), written: [] }
      await this.cut()
    } else {
      const sightings = new Sightings(proxy.up, batches.flat())
      proxy.down.hold()
      const calls = send()
      loss = { calls, written: await sightings.gone(trial.times.deliverMs) }
      await trial.quiet()
      await this.cut()
      proxy.down.release()
    }
    for (const call of loss.calls) await trial.settled(call)
    return loss
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

  /** Sends, and cuts when the nth byte from now has gone out. */
  async cutMidway(send: () => Call, bytes: number): Promise<Call> {
    const { proxy } = this
    const broken = proxy?.up.cutAfter(bytes)
    const call = send()
    if (broken === undefined) await this.cut()
    else await broken
    await this.#trial.settled(call)
    return call
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
