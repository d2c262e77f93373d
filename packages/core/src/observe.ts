import type { Clock } from './clock.ts'
import type { Destination, Driver, Status } from './driver.ts'
import { type NotifyError, toFailure } from './errors.ts'

/** A change in how a driver fares: what `onStatus` hears. */
export interface StatusEvent extends Status {
  /** The driver's name. */
  readonly driver: string
  /** Present where only one destination is concerned, such as `notifications.info`. */
  readonly destination?: string
}

/** What a program may hear. Core logs nothing; without these, one line on stderr stands in. */
export interface Hooks {
  /**
   * Hears of each failed emit that nobody awaited, once, and of each failure of a driver that was not
   * required. Called from a macrotask of its own: emitting from within is safe.
   *
   * Default: one line on stderr for each code and second, with a count.
   */
  readonly onFailure?: ((error: NotifyError) => void) | undefined
  /** Hears, from a macrotask of its own, when a driver goes up, down or is blocked. Default: one line on stderr when it changes. */
  readonly onStatus?: ((event: StatusEvent) => void) | undefined
}

/** The one way in which core speaks without being asked. Safe to call when stderr is gone. */
export function complain(line: string): void {
  try {
    // What was received or thrown may hold what a terminal acts on.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
    globalThis.console?.error(`notify: ${line.replace(/[\x00-\x1f\x7f-\x9f]/g, '?')}`)
  } catch {
    // Nobody is left to tell.
  }
}

/**
 * Calls a hook that the user wrote. Its failure is its own: it can neither stop nor crash anything. `ended` is
 * called when it has returned, or when the promise that it returned has settled.
 */
export function callHook<T>(
  name: string,
  hook: (value: T) => unknown,
  value: T,
  ended: () => void = () => {},
): void {
  try {
    const result = hook(value)
    // An async hook that rejects must not become an unhandled rejection.
    if (Object.prototype.toString.call(result) === '[object Promise]') {
      const failed = (error: unknown) => complain(`${name} rejected: ${text(error)}`)
      void (result as Promise<unknown>).then(undefined, failed).then(ended)
      return
    }
  } catch (error) {
    complain(`${name} threw: ${text(error)}`)
  }
  ended()
}

/** One line for each kind of trouble and second, with a count, so that an outage does not flood a terminal. */
export class Digest {
  readonly #clock: Clock
  readonly #seen = new Map<string, { at: number; more: number }>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  tell(error: NotifyError): void {
    const { code: kind } = error
    const line = lineOf(error)
    const now = this.#clock.now()
    const seen = this.#seen.get(kind)
    if (seen !== undefined && now - seen.at < 1_000) {
      seen.more++
      return
    }
    const more =
      seen === undefined || seen.more === 0 ? '' : ` (and ${seen.more} more since the last such line)`
    this.#seen.set(kind, { at: now, more: 0 })
    complain(`${line}${more}`)
  }

  /** The counts that no later line has told. */
  end(): void {
    for (const [kind, { more }] of this.#seen) if (more > 0) complain(`${more} more of ${kind}`)
    this.#seen.clear()
  }
}

/**
 * Listens to a driver that tells of itself. What cannot be understood is not heard, and neither this nor what it
 * returns, which stops the listening, throws.
 */
export function watch(driver: Driver, hear: (status: Status) => void): () => void {
  let stop: unknown
  try {
    stop = driver.observe?.((given) => {
      const status = toStatus(given)
      if (status !== undefined) hear(status)
    })
  } catch {
    // One that cannot be listened to may still send.
  }
  return () => {
    try {
      if (typeof stop === 'function') stop()
    } catch {
      // This side is done with it either way.
    }
  }
}

function toStatus(given: Status): Status | undefined {
  try {
    const { state, failure } = given
    if (state !== 'up' && state !== 'down' && state !== 'blocked') return undefined
    return failure === undefined ? { state } : { state, failure: toFailure(failure) }
  } catch {
    return undefined
  }
}

/** Tells of a driver's status when it changes, and not when it is said again. */
export class StatusTeller {
  readonly #driver: Driver
  readonly #hook: ((event: StatusEvent) => void) | undefined
  readonly #clock: Clock
  readonly #last = new Map<string, string>()

  constructor(driver: Driver, hook: ((event: StatusEvent) => void) | undefined, clock: Clock) {
    this.#driver = driver
    this.#hook = hook
    this.#clock = clock
  }

  tell({ state, failure }: Status, destination?: Destination): void {
    const subject = destination?.name ?? ''
    const said = `${state} ${state === 'up' ? '' : `${failure?.code} ${failure?.reason}`}`
    const last = this.#last.get(subject)
    if (last === said) return
    // Bounded, since a program may make topics up.
    if (this.#last.size > 1_000) this.#last.clear()
    this.#last.set(subject, said)
    const driver = this.#driver.name
    if (this.#hook !== undefined) {
      const event = {
        driver,
        state,
        ...(failure === undefined ? {} : { failure }),
        ...(destination === undefined ? {} : { destination: subject }),
      }
      // From a turn of its own: what is told of here is not finished yet, and a hook may do what it likes.
      const hook = this.#hook
      this.#clock.defer(() => callHook('onStatus', hook, event))
      return
    }
    // That a connection was made at all is no news.
    if (last === undefined && state === 'up') return
    const where = subject === '' ? driver : `${driver} ${subject}`
    const why =
      state === 'up' || failure === undefined
        ? ''
        : `: ${failure.code} ${failure.message ?? failure.reason ?? ''}`
    complain(`${where} is ${state}${why}`.trimEnd())
  }
}

/** An error in one line, with the first line of what caused it: the part that says what to look into. */
function lineOf({ message, cause }: NotifyError): string {
  const [first = ''] = cause === undefined ? [] : text(cause).split('\n')
  return first === '' ? message : `${message} Cause: ${first.slice(0, 200)}`
}

function text(error: unknown): string {
  try {
    return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
  } catch {
    return 'something that cannot be shown'
  }
}
