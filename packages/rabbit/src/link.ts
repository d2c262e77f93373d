import type { CallOptions, Failure, Status } from '@notify/core'
import { type Channel, type ChannelModel, connect } from 'amqplib'
import { bounded, type Limits, Stopwatch } from './bounded.ts'
import { closed, lost, toFailure } from './classify.ts'
import { joinWrites } from './joined.ts'
import type { Connection, Host } from './options.ts'

/** One connection while it lives. */
export interface Live {
  readonly connection: Connection
  /** What the publisher has declared or checked on it. */
  readonly prepared: Set<string>
  /** What broke it, as soon as that is known. */
  error: unknown
  /** Ends it at once, whatever the broker says. Does nothing to one that was passed in. */
  kill(): void
  /** What a channel that is not closed in time comes to. Absent: nothing, it is idle and harms nobody. */
  readonly giveUp: (() => void) | undefined
}

/** What a connection is for. */
export type Purpose = 'publish' | 'consume'

/** How long the broker may take to close a channel that consumes, before the connection is given up. */
const CLOSE_MS = 5_000

/** A place for one connection: opened when it is needed, and again after a loss, by whoever comes next. */
export class Link {
  live: Live | undefined
  /** Stands while an alarm keeps the broker from answering: that is no fault of whoever waits. */
  readonly clock: Stopwatch = new Stopwatch()
  readonly #target: readonly Host[] | Connection
  readonly #purpose: Purpose
  readonly #tell: (status: Status) => void
  #stops: (() => void)[] = []
  #opening: Promise<Live> | undefined
  #attempt: AbortController | undefined
  #next = 0
  #down: Failure | undefined
  #closed = false

  constructor(target: readonly Host[] | Connection, purpose: Purpose, tell: (status: Status) => void) {
    this.#target = target
    this.#purpose = purpose
    this.#tell = tell
  }

  /** @throws a Failure. */
  connect(call: CallOptions): Promise<Live> {
    if (this.#closed) return Promise.reject(closed())
    if (this.live !== undefined) return Promise.resolve(this.live)
    // Several may wait for it, each for as long as it likes: it has a time of its own for each host.
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return bounded('connecting', this.#opening, call)
  }

  /** Nothing of it is left, unless it was passed in. */
  async close(call: CallOptions): Promise<void> {
    this.#closed = true
    this.#attempt?.abort()
    // What is being opened ends in turn, and its socket with it.
    const opening = this.#opening
    if (opening !== undefined) {
      await bounded('closing', opening, call).catch(() => {})
      await turns()
    }
    const { live } = this
    if (live !== undefined && 'close' in live.connection && Array.isArray(this.#target)) {
      const connection = live.connection as ChannelModel
      // What breaks while it is closing, never answers.
      const broken = new Promise<void>((resolve) => connection.once('close', () => resolve()))
      await bounded('closing', Promise.race([connection.close(), broken]), call).catch(() => {})
      live.kill()
      await turns()
    }
    for (const stop of this.#stops.splice(0)) stop()
    this.live = undefined
  }

  async #open(): Promise<Live> {
    if (!Array.isArray(this.#target)) return this.#adopt(this.#target as Connection, () => {})
    const hosts = this.#target as readonly Host[]
    const failures: { host: Host; failure: Failure }[] = []
    for (let left = hosts.length; left > 0 && !this.#closed; left--) {
      const host = hosts[this.#next % hosts.length] as Host
      const attempt = new AbortController()
      this.#attempt = attempt
      try {
        const connection = await connect(host.url, this.#settingsOf(host, attempt))
        this.#attempt = undefined
        joinWrites(connection)
        return this.#adopt(connection, () => attempt.abort())
      } catch (error) {
        this.#next++
        failures.push({ host, failure: toFailure(error) })
      }
    }
    throw this.#closed ? closed() : sumUp(failures)
  }

  /** A socket ends with its signal, in whatever state it is: amqplib itself would wait for the other side. */
  #settingsOf({ socket }: Host, { signal }: AbortController): object {
    const clientProperties = {
      connection_name: `@notify/rabbit ${this.#purpose}`,
      ...socket.clientProperties,
    }
    return { ...socket, clientProperties, signal }
  }

  #adopt(connection: Connection, kill: () => void): Live {
    const given = !Array.isArray(this.#target)
    const giveUp = given || this.#purpose === 'publish' ? undefined : kill
    const live: Live = { connection, prepared: new Set(), error: undefined, kill, giveUp }
    this.#stops = []
    const on = (event: string, listener: (value: unknown) => void): void => {
      connection.on(event, listener)
      this.#stops.push(() => connection.removeListener(event, listener))
    }
    on('error', (error) => {
      live.error = error
    })
    if (this.#closed) {
      // To be killed is an error to it, which somebody has to hear.
      kill()
      throw closed()
    }
    on('close', (error) => {
      // A silent peer never answers the end of a stream.
      kill()
      live.prepared.clear()
      if (this.live !== live) return
      // One that was passed in is all there is, and may have a way to come back.
      if (!given) this.live = undefined
      this.clock.go()
      if (this.#closed) return
      this.#next++
      this.#down = lost(live.error ?? error ?? new Error('Connection closed'), false)
      this.#tell({ state: 'down', failure: this.#down })
    })
    if (given) on('connect', () => this.#up())
    on('blocked', () => {
      this.clock.stop()
      this.#tell({ state: 'blocked' })
    })
    on('unblocked', () => {
      this.clock.go()
      this.#tell({ state: 'up' })
    })
    this.live = live
    this.#up()
    return live
  }

  get blocked(): boolean {
    return this.clock.stands
  }

  /** What somebody who comes to listen now has missed. */
  get status(): Status {
    if (this.blocked) return { state: 'blocked' }
    return this.#down === undefined ? { state: 'up' } : { state: 'down', failure: this.#down }
  }

  #up(): void {
    if (this.live !== undefined) this.live.error = undefined
    if (this.#down === undefined) return
    this.#down = undefined
    this.#tell({ state: 'up' })
  }
}

/**
 * What several hosts come to. As long as one of them may come back, waiting helps; but what somebody would have to
 * mend at another is told with it.
 */
function sumUp(failures: readonly { host: Host; failure: Failure }[]): Failure {
  const [first, ...more] = failures.map(({ failure }) => failure) as [Failure, ...Failure[]]
  const chosen = [first, ...more].find(({ retryable }) => retryable)
  if (chosen === undefined) return first
  const final = failures.filter(({ failure }) => !failure.retryable)
  if (final.length === 0) return chosen
  const others = final.map(({ host, failure }) => `${host.url.hostname}:${host.url.port}: ${failure.message}`)
  return { ...chosen, message: [chosen.message, ...others].join(' ') }
}

/** A socket that is destroyed has a handle, which is closed at the end of the host's turn. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A channel, and what the broker said when it closed it. */
export interface Opened<C extends Channel> {
  readonly channel: C
  error: unknown
}

/** @throws a Failure, or an error of amqplib. One that comes too late is closed. */
export async function openChannel<C extends Channel>(
  live: Live,
  open: (connection: Connection) => Promise<C>,
  call: Limits,
): Promise<Opened<C>> {
  const opening = open(live.connection).then((channel) => {
    const opened: Opened<C> = { channel, error: undefined }
    // Without a listener, its error would end the whole connection.
    channel.on('error', (error) => {
      opened.error = error
    })
    return opened
  })
  return await bounded('opening a channel', opening, call, ({ channel }) => void closeChannel(channel, live))
}

/**
 * Resolves when it is closed. Where it may consume, one that the broker does not close takes the connection with it:
 * better than a consumer of which nobody knows. Never rejects.
 */
export function closeChannel(channel: Channel, { giveUp }: Live): Promise<void> {
  return new Promise((resolve) => {
    const timer = giveUp === undefined ? undefined : setTimeout(giveUp, CLOSE_MS)
    const done = (): void => {
      clearTimeout(timer)
      resolve()
    }
    channel.once('close', done)
    channel.close().then(done, done)
  })
}
