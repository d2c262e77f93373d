import type { Driver } from './driver.ts'
import { invalid, NotifyError } from './errors.ts'

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
