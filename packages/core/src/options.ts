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
export function checkKeys(what: string, options: unknown, known: readonly string[]): void {
  const message = unknownKey(what, options, known)
  if (message !== undefined) refuse(message)
}

/** What {@link checkKeys} would complain of. */
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
  if (typeof driver?.publish !== 'function' || typeof driver.capabilities !== 'object') refuse('driver must be a driver, such as memory() or rabbit({ url }).')
  if (driver.contract !== 1) {
    refuse(`The driver "${driver.name}" keeps contract ${String(driver.contract)}, and this version of @notify/core needs 1.`)
  }
}

/** A function, where there is one. */
export function checkFunction(name: string, value: unknown): void {
  if (value !== undefined && typeof value !== 'function') refuse(`${name} must be a function.`)
}

/** A whole number of something, within bounds. */
export function checkCount(name: string, value: number | undefined, least: number): void {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return
  if (!Number.isInteger(value) || value < least) refuse(`${name} must be a whole number of at least ${least}.`)
}

/** A duration. Zero only where it means something. */
export function checkMs(name: string, value: number | undefined, least = 1): void {
  if (value === undefined) return
  if (typeof value !== 'number' || Number.isNaN(value) || value < least) {
    refuse(`${name} must be a number of milliseconds, at least ${least}.`)
  }
}

/** The candidate that differs least, ignoring case: by at most two edits, three in a long word. */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let least = word.length > 5 ? 4 : 3
  for (const candidate of candidates) {
    const edits = distance(word.toLowerCase(), candidate.toLowerCase())
    if (edits < least) {
      least = edits
      best = candidate
    }
  }
  return best
}

function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 3) return 4
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substituted, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
