import { type Clock, systemClock } from './clock.ts'
import type { Driver } from './driver.ts'
import { invalid, NotifyError } from './errors.ts'
import { complain } from './observe.ts'
import type { Backoff } from './retry.ts'

/** Refuses a bad option: what a factory throws, so that it is seen where it was written. */
export function refuse(message: string, reason = 'option'): never {
  throw new NotifyError(invalid(reason, message))
}

/**
 * Refuses keys that nobody knows, and suggests the one that was probably meant. TypeScript says so first;
 * this is for options that come from a file.
 */
export function checkOptions(what: string, options: unknown, known: readonly string[]): void {
  const message = unknownKey(what, options, known)
  if (message !== undefined) refuse(message)
}

/** What {@link checkOptions} would complain of. */
export function unknownKey(what: string, options: unknown, known: readonly string[]): string | undefined {
  if (typeof options !== 'object' || options === null) return `${what} must be an object.`
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const near = nearest(key, known)
    return `${what} has no option "${key}".${near === undefined ? '' : ` Did you mean "${near}"?`}`
  }
  return undefined
}

/** A driver of another contract would fail in ways that nobody could explain. */
export function checkDriver(driver: Driver): void {
  if (typeof driver?.publish !== 'function' || typeof driver.capabilities !== 'object')
    refuse('driver must be a driver, such as memory() or rabbit({ url }).')
  if (driver.contract !== 1) {
    refuse(
      `The driver "${driver.name}" keeps contract ${String(driver.contract)}, and this version of @notify/core needs 1.`,
    )
  }
}

/** A function, where there is one. */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') refuse(`${name} must be a function.`)
}

/** What is given, over the defaults, of which one bound takes the other along. */
export function backoffOf<T extends Backoff>(what: string, given: Partial<T>, defaults: T): Backoff {
  checkOptions(what, given, Object.keys(defaults))
  const { minMs = Math.min(defaults.minMs, given.maxMs ?? defaults.minMs) } = given
  const { maxMs = Math.max(defaults.maxMs, minMs) } = given
  checkMs(`${what}.minMs`, minMs)
  checkMs(`${what}.maxMs`, maxMs, minMs)
  return { minMs, maxMs }
}

/** A whole number of something, within bounds. */
export function checkCount(name: string, value: number | undefined, least: number): void {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return
  if (!Number.isInteger(value) || value < least)
    refuse(`${name} must be a whole number of at least ${least}.`)
}

/** A duration. Zero only where it means something. */
export function checkMs(name: string, value: number | undefined, least = 1): void {
  if (value === undefined) return
  if (typeof value !== 'number' || Number.isNaN(value) || value < least) {
    refuse(`${name} must be a number of milliseconds, at least ${least}.`)
  }
}

/**
 * How long a call that must not reject may take: what was asked for, or the default where that is no duration. A
 * variable of the environment is a string, and closing at once because of it would lose what is pending.
 */
export function durationOr(fallback: number, what: string, given: number | undefined): number {
  if (given === undefined || (typeof given === 'number' && given >= 0)) return given ?? fallback
  complain(`${what}: timeoutMs is no number of milliseconds; ${fallback} is used`)
  return fallback
}

/** Time and chance that a test has passed in. */
export function checkClock(clock: Clock): void {
  for (const name of Object.keys(systemClock) as (keyof Clock)[]) {
    if (typeof clock?.[name] !== 'function') refuse(`clock must have a function ${name}.`)
  }
}

/** Options that come from a file may say "false", which is true. */
export function checkBoolean(name: string, value: boolean | undefined): void {
  if (value !== undefined && typeof value !== 'boolean') refuse(`${name} must be true or false.`)
}

/** The candidate that differs by the fewest edits, ignoring case: two at most, three in a long word. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  for (let edits = 0; edits <= (word.length > 5 ? 3 : 2); edits++) {
    const near = candidates.find((candidate) => differBy(edits, word.toLowerCase(), candidate.toLowerCase()))
    if (near !== undefined) return near
  }
  return undefined
}

function differBy(edits: number, a: string, b: string): boolean {
  let same = 0
  while (same < a.length && a[same] === b[same]) same++
  const [left, right] = [a.slice(same), b.slice(same)]
  if (edits === 0 || left === right) return left === right
  return [
    [left.slice(1), right],
    [left, right.slice(1)],
    [left.slice(1), right.slice(1)],
  ].some(([x, y]) => differBy(edits - 1, x as string, y as string))
}
