/**
 * One line per notification, to any logger or stream.
 *
 * | here | what it is |
 * |---|---|
 * | message | one line of text or JSON, secrets masked, nothing in it that a terminal acts on |
 * | priority | the logger's method: DEBUG and SAMPLE `debug`, INFO and AUDIT `info`, WARN, ERROR and CRITICAL `error` |
 * | confirmed | the stream has taken the line, or the logger's method has returned |
 *
 * What a line does afterwards is up to who took it: at most once. There is nothing to subscribe to.
 *
 * @example
 * const notifier = createNotifier({
 *   publisherId: 'compute.host1',
 *   drivers: [{ driver: rabbit({ url }) }, { driver: log({ logger: console }), required: false }],
 * })
 * notifier.error('compute.create_instance', { instance_id: 12, password: 'x' })
 * // 2026-11-22T09:30:00.123Z ERROR    compute.create_instance compute.host1 {"instance_id":12,"password":"***"} …
 *
 * @module
 */
import {
  type Capabilities,
  checkMessage,
  checkOptions,
  type Driver,
  type Failure,
  failure as fault,
  NotifyError,
  type OutboundMessage,
  type Priority,
  type Settle,
} from '@notify/core'
import { type Level, type Style, toLine } from './line.ts'
import { Secrets } from './secrets.ts'
import { type Done, type Logger, type LogStream, toLogger, toStream } from './sinks.ts'

export type { Level } from './line.ts'
export type { Logger, LogStream } from './sinks.ts'

/** Options of {@link log}. */
export interface LogOptions {
  /** Where lines go. Default: no logger, but `stream`. */
  readonly logger?: Logger
  /** Where lines go, each ended by a line feed. Default: `process.stdout`; stderr is for diagnostics. */
  readonly stream?: LogStream
  /** Default: `text`. */
  readonly format?: 'text' | 'json'
  /** Text in colours. Default: as `FORCE_COLOR` and `NO_COLOR` say, else whether `stream` is a terminal. */
  readonly colors?: boolean
  /** The logger's method for a priority, where it should be another one. */
  readonly levels?: Partial<Readonly<Record<Priority, Level>>>
  /** Parts of names of further secrets, in any case, `_` standing for any separator or none: `['iban']`. */
  readonly mask?: readonly string[]
  /** About how many characters a line has at most; the rest is left out, marked. Default: 262,144. */
  readonly maxLineLength?: number
}

/** Makes a driver that logs. */
export function log(options: LogOptions = {}): Driver {
  checkLogOptions(options)
  const { logger, stream, format = 'text', colors, maxLineLength = 262_144 } = options
  const sink = logger === undefined ? toStream(stream) : toLogger(logger)
  const levels = { ...LEVELS, ...options.levels }
  const secrets = new Secrets(options.mask)
  const calls = new Set<Call>()
  let style: Style | undefined
  let closing: Promise<void> | undefined
  let onDrained = () => {}

  function attempt(message: OutboundMessage, done: Done): void {
    try {
      const failure = checkMessage(message, MAX_MESSAGE_BYTES)
      if (failure !== undefined) {
        done(failure)
        return
      }
      style ??= { format, secrets, maxLineLength, colors: colors ?? sink.hasColors() }
      const level = levels[message.destination.priority]
      sink.write(toLine(message, level, style), level, done)
    } catch (cause) {
      done(fault('UNKNOWN', 'unreadable', 'The message could not be shown.', { cause }))
    }
  }

  return {
    contract: 1,
    name: 'log',
    capabilities: CAPABILITIES,

    publish(batch, settle, { signal }) {
      if (batch.length === 0) return
      const call = new Call(batch, settle, signal, () => {
        calls.delete(call)
        if (calls.size === 0) onDrained()
      })
      calls.add(call)
      if (closing !== undefined) call.endLater(closed())
      else if (signal.aborted) call.endLater({ ...(signal.reason as Failure), maybeSent: false })
      else for (const message of batch) attempt(message, (failure) => call.settleLater(message, failure))
    },

    async health() {
      const failure = closing === undefined ? sink.failure() : closed()
      return failure === undefined ? { ok: true, warnings: [] } : { ok: false, warnings: [], failure }
    },

    close({ signal }) {
      closing ??= new Promise((resolve) => {
        const give = () => {
          for (const call of [...calls]) call.end({ ...(signal.reason as Failure), maybeSent: true })
        }
        onDrained = () => {
          signal.removeEventListener('abort', give)
          sink.close()
          resolve()
        }
        if (calls.size === 0) onDrained()
        else if (signal.aborted) give()
        else signal.addEventListener('abort', give)
      })
      return closing
    },
  }
}

/** One call of `publish`, until each of its messages is settled. */
class Call {
  readonly #open: Set<OutboundMessage>
  readonly #settle: Settle
  readonly #signal: AbortSignal
  readonly #onEnd: () => void

  constructor(batch: readonly OutboundMessage[], settle: Settle, signal: AbortSignal, onEnd: () => void) {
    this.#open = new Set(batch)
    this.#settle = settle
    this.#signal = signal
    this.#onEnd = onEnd
    signal.addEventListener('abort', this.#onAbort)
  }

  /** Never from within `publish`. */
  settleLater(message: OutboundMessage, failure?: Failure): void {
    void soon.then(() => this.#settleNow(message, failure))
  }

  endLater(failure: Failure): void {
    void soon.then(() => this.end(failure))
  }

  end(failure: Failure): void {
    for (const message of [...this.#open]) this.#settleNow(message, failure)
  }

  #onAbort = (): void => this.end({ ...(this.#signal.reason as Failure), maybeSent: true })

  #settleNow(message: OutboundMessage, failure: Failure | undefined): void {
    if (!this.#open.delete(message)) return
    if (this.#open.size === 0) {
      this.#signal.removeEventListener('abort', this.#onAbort)
      this.#onEnd()
    }
    this.#settle(message, failure)
  }
}

const soon = Promise.resolve()

const LEVELS: Readonly<Record<Priority, Level>> = {
  DEBUG: 'debug',
  SAMPLE: 'debug',
  INFO: 'info',
  AUDIT: 'info',
  WARN: 'warn',
  ERROR: 'error',
  CRITICAL: 'error',
}

const MAX_MESSAGE_BYTES = 64 * 2 ** 20

const CAPABILITIES: Capabilities = Object.freeze({
  confirms: 'process',
  discards: false,
  ordering: 'none',
  deduplication: false,
  requeue: false,
  delay: false,
  deliveryCount: false,
  groups: false,
  sharing: 'message',
  history: false,
  maxMessageBytes: MAX_MESSAGE_BYTES,
  maxBatch: 100,
  maxBatchBytes: MAX_MESSAGE_BYTES,
  window: Object.freeze({ messages: 500, bytes: MAX_MESSAGE_BYTES }),
})

const closed = (): Failure => fault('CLOSED', 'closed', 'The driver is closed.', { scope: 'transport' })

const OPTIONS = ['logger', 'stream', 'format', 'colors', 'levels', 'mask', 'maxLineLength']

function checkLogOptions(options: LogOptions): void {
  checkOptions('log', options, OPTIONS)
  const { logger, stream, format, levels = {}, mask = [], maxLineLength } = options
  if (logger !== undefined && stream !== undefined) refuse('logger and stream exclude each other.')
  for (const level of new Set(Object.values(LEVELS))) {
    if (logger !== undefined && typeof logger[level] !== 'function') refuse(`logger has no method ${level}.`)
  }
  if (stream !== undefined && typeof stream.write !== 'function') refuse('stream must be a writable stream.')
  if (format !== undefined && format !== 'text' && format !== 'json')
    refuse('format must be "text" or "json".')
  for (const [priority, level] of Object.entries(levels)) {
    if (!Object.hasOwn(LEVELS, priority)) refuse(`levels knows no priority ${priority}.`)
    if (!Object.values(LEVELS).includes(level))
      refuse(`levels.${priority} must be debug, info, warn or error.`)
  }
  // An empty one would be part of every name.
  if (!mask.every((name) => typeof name === 'string' && name !== '')) refuse('mask must be a list of names.')
  if (maxLineLength !== undefined && !(maxLineLength >= 1_000))
    refuse('maxLineLength must be at least 1,000.')
}

function refuse(message: string): never {
  throw new NotifyError(fault('INVALID', 'option', message))
}
