import {
  type Codec,
  type Destination,
  type Envelope,
  type Failure,
  failure as fault,
  NotifyError,
} from '@notify/core'
import { Recent } from './collections.ts'

import type { Stored } from './queue.ts'

/** An event type, exactly, or a test of the whole notification. */
export type Match = string | ((notification: Envelope, destination: Destination) => boolean)

/** How long to wait for something that may never happen. */
export interface WaitOptions {
  /** In milliseconds. Default: 2,000. */
  readonly timeoutMs?: number
}

interface Line {
  readonly destination: Destination
  readonly message: Stored
  readonly size: number
}

/** How many steps of promises the last emit of a handler may take to get here. */
const STEPS = 32
const JOURNAL_BYTES = 64 * 2 ** 20

/** What the broker took, as bytes, decoded when a test asks. */
export class Journal {
  readonly #lines: Recent<Line>
  readonly #codecs: readonly Codec[]
  readonly #readers = new Set<(line: Line) => void>()

  constructor(count: number, codecs: readonly Codec[]) {
    this.#lines = new Recent(count, JOURNAL_BYTES)
    this.#codecs = codecs
  }

  add(destination: Destination, message: Stored): void {
    const line = { destination, message, size: message.size }
    this.#lines.push(line)
    for (const read of this.#readers) read(line)
  }

  find(match: Match | undefined): Envelope[] {
    const found: Envelope[] = []
    for (const line of this.#lines) {
      const notification = this.#read(line, match)
      if (notification !== undefined) found.push(notification)
    }
    return found
  }

  /** The first that matches, of those that are there or come. */
  async next(match: Match, waits: Waits, timeoutMs: number | undefined): Promise<Envelope> {
    const [first] = this.find(match)
    if (first !== undefined) return first
    return waits.add(
      timeoutMs,
      () => `Nothing matched; emitted were: ${this.#types()}.`,
      (resolve, reject) => {
        const read = (line: Line) => {
          try {
            const notification = this.#read(line, match)
            if (notification !== undefined) resolve(notification)
          } catch (error) {
            // A predicate that throws fails its own wait, not the publish that it looked at.
            reject(error)
          }
        }
        this.#readers.add(read)
        return () => this.#readers.delete(read)
      },
    )
  }

  #read({ destination, message }: Line, match: Match | undefined): Envelope | undefined {
    const isDead = destination.topic.endsWith('.dead')
    // Dead letters are core's, not the program's; whoever wants them asks for their topic.
    if (isDead && typeof match !== 'function') return undefined
    const notification = this.#decode(destination, message, isDead)
    if (notification === undefined || match === undefined) return notification
    const matches =
      typeof match === 'string' ? notification.event_type === match : match(notification, destination)
    return matches ? notification : undefined
  }

  #decode(
    destination: Destination,
    { body, headers, contentType }: Stored,
    isDead: boolean,
  ): Envelope | undefined {
    const copy = {
      body: new Uint8Array(body),
      headers,
      ...(contentType === undefined ? {} : { contentType }),
    }
    let problem: unknown
    for (const codec of this.#codecs) {
      try {
        return codec.decode(copy, destination).envelope
      } catch (error) {
        problem = error
      }
    }
    // That nobody understands it may be what it died of.
    if (isDead) return undefined
    throw new NotifyError(problem as Failure)
  }

  #types(): string {
    const types = new Set(this.find(undefined).map((notification) => notification.event_type))
    return types.size === 0 ? 'none' : [...types].slice(0, 20).join(', ')
  }
}

/** What tests wait for: each ends in time, or with the driver. */
export class Waits {
  readonly #open = new Set<(failure: Failure) => void>()
  #over: Failure | undefined

  /** `start` returns what stops it. It must not resolve before it has returned. */
  add<T>(
    timeoutMs = 2_000,
    describe: () => string,
    start: (resolve: (value: T) => void, reject: (error: unknown) => void) => () => void,
  ): Promise<T> {
    if (this.#over !== undefined) return Promise.reject(new NotifyError(this.#over))
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer)
        this.#open.delete(end)
        stop()
      }
      const end = (failure: Failure) => {
        finish()
        reject(new NotifyError(failure))
      }
      const stop = start(
        (value) => {
          finish()
          resolve(value)
        },
        (error) => {
          finish()
          reject(error)
        },
      )
      const timer = setTimeout(
        () => end(fault('DEADLINE', 'waited', `Waited ${timeoutMs} ms. ${describe()}`)),
        timeoutMs,
      )
      this.#open.add(end)
    })
  }

  /** Resolves when nothing is busy any more; `listen` tells when to look. */
  quiet(
    busy: () => readonly string[],
    listen: (listener: () => void) => () => void,
    timeoutMs: number | undefined,
  ): Promise<void> {
    return this.add(
      timeoutMs,
      () => `Busy: ${busy().join(', ')}.`,
      (resolve) => {
        let looking = false
        const look = async () => {
          if (looking) return
          looking = true
          for (let step = 0; step < STEPS && busy().length === 0; step++) await undefined
          looking = false
          if (busy().length === 0) resolve()
        }
        const stop = listen(() => void look())
        void look()
        return stop
      },
    )
  }

  end(failure: Failure): void {
    this.#over = failure
    for (const end of [...this.#open]) end(failure)
  }
}
