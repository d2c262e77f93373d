import { connect, type Socket } from 'node:net'
import type { Failure, Status } from '@notify/core'
import type { Consumer } from './consumer.ts'
import { classify, closed, unavailable } from './wire.ts'

/** Where the broker is, and how to come in. */
export interface Target {
  readonly host?: string
  readonly port?: number
  readonly password?: string
  readonly silenceMs?: number
}

/** What the broker sends: an answer, `re` being the number of the request, or an event. */
interface Line {
  readonly re?: number
  /** Why it says no. */
  readonly error?: string
  readonly event?: 'deliver' | 'ended' | 'blocked' | 'unblocked'
  readonly consumer?: number
  readonly delivery?: number
  readonly deliveries?: number
  readonly message?: unknown
}

type Asked = ReturnType<typeof Promise.withResolvers<void>>

/** Far more than a broker sends in one line. */
const MOST_CHARACTERS = 64 * 2 ** 20

/** One connection while it lives: lines out, lines in, each answer to its request. */
export class Connection {
  /** The destinations that a publisher has declared or checked on it. */
  readonly prepared: Set<string> = new Set()
  readonly consumers: Map<number, Consumer> = new Map()
  /** Why it is over, as soon as it is. */
  over: Failure | undefined
  readonly #socket: Socket
  readonly #asked = new Map<number, Asked>()
  readonly #tell: (status: Status) => void
  #requests = 0
  #ids = 0
  #rest = ''
  #corked = false
  #drained: Promise<void> | undefined

  /** `tell` hears of `blocked`, `up`, and in the end `down`. */
  constructor(
    { host = '127.0.0.1', port = 7450, silenceMs = 15_000 }: Target,
    tell: (status: Status) => void,
  ) {
    this.#tell = tell
    this.#socket = connect({ host, port, noDelay: true }).setEncoding('utf8').setTimeout(silenceMs)
    this.#socket.on('data', (chunk: string) => this.#receive(chunk))
    this.#socket.on('error', (error) => this.end(classify(error)))
    for (const event of ['end', 'close']) this.#socket.on(event, () => this.end(LOST))
    this.#socket.on('timeout', () => {
      if (this.#asked.size > 0) this.end(SILENT)
      else this.ask({ do: 'ping' }).catch(() => {})
    })
  }

  /** Resolves with the broker's answer. Rejects with a Failure: its refusal, or the end of the connection. */
  ask(request: object): Promise<void> {
    if (this.over !== undefined) return Promise.reject(this.over)
    const asked: Asked = Promise.withResolvers()
    this.#asked.set(++this.#requests, asked)
    this.#write(`${JSON.stringify({ id: this.#requests, ...request })}\n`)
    return asked.promise
  }

  /** Gives a consumer its number, under which the broker delivers to it. */
  add(consumer: Consumer): number {
    this.consumers.set(++this.#ids, consumer)
    return this.#ids
  }

  /** There while the broker reads more slowly than is written; resolves when it has caught up, or is lost. */
  get drained(): Promise<void> | undefined {
    if (!this.#socket.writableNeedDrain || this.over !== undefined) return undefined
    this.#drained ??= new Promise<void>((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done).off('close', done)
        this.#drained = undefined
        resolve()
      }
      this.#socket.on('drain', done).on('close', done)
    })
    return this.#drained
  }

  /** Once. What was asked may have been done all the same. */
  end(reason: Failure): void {
    if (this.over !== undefined) return
    this.over = reason
    this.#socket.destroy()
    this.#tell({ state: 'down', failure: reason })
    for (const { reject } of this.#asked.values()) reject({ ...reason, maybeSent: true })
    this.#asked.clear()
    for (const consumer of [...this.consumers.values()]) consumer.end(reason)
  }

  /** Resolves when nothing is left of it. */
  async close(): Promise<void> {
    this.end(closed())
    if (!this.#socket.closed) await new Promise((resolve) => this.#socket.once('close', resolve))
  }

  /** All of one turn goes out together. */
  #write(line: string): void {
    if (!this.#corked) {
      this.#corked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#corked = false
        this.#socket.uncork()
      })
    }
    this.#socket.write(line)
  }

  #receive(chunk: string): void {
    const lines = chunk.split('\n')
    lines[0] = this.#rest + lines[0]
    this.#rest = lines.pop() as string
    try {
      if (this.#rest.length > MOST_CHARACTERS) throw new Error('a line without end')
      for (const line of lines) if (this.over === undefined) this.#hear(JSON.parse(line) as Line)
    } catch {
      // Without its text: something that echoes would have sent back the password.
      this.end(unavailable('protocol', 'What answers there does not speak as acme does.'))
    }
  }

  #hear({ re, error, event, consumer, ...delivered }: Line): void {
    if (re !== undefined) {
      const asked = this.#asked.get(re)
      this.#asked.delete(re)
      if (error === undefined) asked?.resolve()
      else asked?.reject(classify({ code: error }))
    } else if (event === 'blocked') this.#tell({ state: 'blocked' })
    else if (event === 'unblocked') this.#tell({ state: 'up' })
    else if (event === 'deliver') this.consumers.get(consumer as number)?.receive(delivered)
    else if (event === 'ended') this.consumers.get(consumer as number)?.end(classify({ code: error }))
    else throw new Error('neither an answer nor an event')
  }
}

const LOST = unavailable('lost', 'The connection is gone.')
const SILENT = unavailable('silent', 'The broker fell silent.')

/** A place for one connection: opened when it is needed, and again after a loss, by whoever comes next. */
export class Link {
  /** The connection that the broker has let in. */
  connection: Connection | undefined
  status: Status = { state: 'up' }
  readonly #target: Target
  readonly #listeners = new Set<(status: Status) => void>()
  #opening: Promise<Connection> | undefined
  #latest: Connection | undefined
  #closed = false

  constructor(target: Target) {
    this.#target = target
  }

  /** Rejects with a Failure. Several may wait for it, each for as long as it likes. */
  connect(): Promise<Connection> {
    if (this.#closed) return Promise.reject(closed())
    if (this.connection !== undefined) return Promise.resolve(this.connection)
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  /** Tells of changes, and at once of a state in which nothing can be sent. */
  observe(listener: (status: Status) => void): () => void {
    this.#listeners.add(listener)
    if (this.status.state !== 'up') listener(this.status)
    return () => void this.#listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#listeners.clear()
    await this.#latest?.close()
  }

  async #open(): Promise<Connection> {
    const connection = new Connection(this.#target, (status) => this.#change(connection, status))
    this.#latest = connection
    try {
      const { password } = this.#target
      await connection.ask({ do: 'hello', ...(password === undefined ? {} : { password }) })
      // What came behind the answer has been heard before this goes on.
      if (connection.over !== undefined) throw connection.over
    } catch (error) {
      connection.end(error as Failure)
      throw error
    }
    this.connection = connection
    if (this.status.state === 'down') this.#set({ state: 'up' })
    return connection
  }

  /** Whoever is told may come back at once, and must find no connection that is over. */
  #change(connection: Connection, status: Status): void {
    if (status.state === 'down') {
      // One that never came about is no loss.
      if (this.connection !== connection && this.status.state !== 'blocked') return
      this.connection = undefined
      if (this.#closed) return
    }
    this.#set(status)
  }

  #set(status: Status): void {
    if (status.state === this.status.state) return
    this.status = status
    for (const listener of [...this.#listeners]) listener(status)
  }
}
