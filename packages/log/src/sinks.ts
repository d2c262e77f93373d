import process from 'node:process'
import type { Failure } from '@notify/core'
import type { Level } from './line.ts'

/** Anything with these four methods: `console`, pino, winston. A promise that one returns is waited for. */
export interface Logger {
  debug(line: string): unknown
  info(line: string): unknown
  warn(line: string): unknown
  error(line: string): unknown
}

/** What of a Node stream is needed. It is never ended or destroyed here. */
export interface LogStream {
  write(text: string, callback: (error?: Error | null) => void): unknown
  on(event: 'error', listener: (error: Error) => void): unknown
  off(event: 'error', listener: (error: Error) => void): unknown
  readonly isTTY?: boolean
  readonly destroyed?: boolean
  readonly writableEnded?: boolean
}

/** Tells once what became of a line. May do so at once. */
export type Done = (failure?: Failure) => void

/** Where lines go. */
export interface Sink {
  hasColors(): boolean
  write(line: string, level: Level, done: Done): void
  /** Why no line can be written now. */
  failure(): Failure | undefined
  /** Takes its listener off, as soon as that is safe. What it writes to is left open. */
  close(): void
}

export function toLogger(logger: Logger): Sink {
  const threw = (cause: unknown): Failure => ({
    code: 'UNKNOWN',
    reason: 'logger-threw',
    message: 'The logger threw, or its promise was rejected.',
    retryable: false,
    maybeSent: true,
    scope: 'message',
    cause,
  })
  return {
    hasColors: () => false,
    write(line, level, done) {
      try {
        const result = logger[level](line)
        if (typeof (result as PromiseLike<unknown> | undefined)?.then !== 'function') done()
        else
          (result as PromiseLike<unknown>).then(
            () => done(),
            (cause) => done(threw(cause)),
          )
      } catch (cause) {
        done(threw(cause))
      }
    },
    failure: () => undefined,
    close() {},
  }
}

/** `undefined` is stdout, looked up when the first line is written: to make a driver touches nothing. */
export function toStream(given: LogStream | undefined): Sink {
  const stream = () => given ?? (process.stdout as LogStream)
  let listening = false
  let closed = false
  let unanswered = 0
  let erring = false

  // Without a listener the error of a broken pipe ends the process.
  function onError(): void {
    erring = false
    letGo()
  }

  /** After the last answer; and where that was an error, after its event, which comes later. */
  function letGo(): void {
    if (!closed || unanswered > 0 || erring || !listening) return
    listening = false
    stream().off('error', onError)
  }

  function failure(): Failure | undefined {
    const { destroyed, writableEnded } = stream()
    if (destroyed !== true && writableEnded !== true) return undefined
    return broken('stream-ended', 'The stream was ended or destroyed.')
  }

  return {
    hasColors: () => hasColors(stream()),
    failure,
    write(line, _, done) {
      const problem = failure()
      if (problem !== undefined) {
        done(problem)
        return
      }
      if (!listening) stream().on('error', onError)
      listening = true
      unanswered++
      let answered = false
      const answer = (cause?: unknown) => {
        if (answered) return
        answered = true
        unanswered--
        if (cause === undefined || cause === null) done()
        else {
          erring = true
          const taken = 'The stream did not take the line, or not all of it.'
          done({ ...broken('stream-failed', taken), maybeSent: true, cause })
        }
        letGo()
      }
      try {
        stream().write(`${line}\n`, answer)
      } catch (cause) {
        answer(cause)
        onError()
      }
    },
    close() {
      closed = true
      letGo()
    },
  }
}

function broken(reason: string, message: string): Failure {
  return { code: 'UNAVAILABLE', reason, message, retryable: true, maybeSent: false, scope: 'transport' }
}

/** As Node itself decides: FORCE_COLOR first, then NO_COLOR, then the terminal. */
function hasColors(stream: LogStream): boolean {
  const { FORCE_COLOR, NO_COLOR, TERM } = process.env
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false'
  if (NO_COLOR !== undefined && NO_COLOR !== '') return false
  return stream.isTTY === true && TERM !== 'dumb'
}
