import type { Capabilities } from '@notify/core'
import type { Claims } from '../claims.ts'

const isCount = (value: unknown): boolean => typeof value === 'number' && value >= 1
const isBoolean = (value: unknown): boolean => typeof value === 'boolean'
const isOneOf =
  (...values: readonly unknown[]) =>
  (value: unknown): boolean =>
    values.includes(value)
const isFalseOr =
  (name: string) =>
  (value: unknown): boolean =>
    value === false || isCount((value as Record<string, unknown> | null | undefined)?.[name])

const FIELDS: Readonly<Record<string, (value: unknown) => boolean>> = {
  confirms: isOneOf('none', 'process', 'broker'),
  discards: isBoolean,
  ordering: isOneOf('none', 'key'),
  deduplication: isFalseOr('windowMs'),
  requeue: isBoolean,
  delay: isFalseOr('maxMs'),
  deliveryCount: isBoolean,
  groups: isBoolean,
  sharing: isOneOf('message', 'partition'),
  history: isBoolean,
  holdMs: (value) => value === undefined || isCount(value),
  maxMessageBytes: isCount,
  maxBatch: isCount,
  maxBatchBytes: isCount,
  window(value) {
    const { messages, bytes, calls } = (value ?? {}) as Record<string, unknown>
    return isCount(messages) && isCount(bytes) && (calls === undefined || isCount(calls))
  },
}

/** The names of what is missing, or not as it should be. */
export function unfitIn(capabilities: Capabilities): string[] {
  const given = capabilities as unknown as Readonly<Record<string, unknown>>
  return Object.keys(FIELDS).filter((name) => FIELDS[name]?.(given[name]) !== true)
}

/** Frozen, and nothing but fields with values, at every depth. */
export function checkPlain(claims: Claims, path: string, value: unknown): void {
  const plain = 'capabilities are plain data'
  if (typeof value !== 'object' || value === null) {
    const isPlain =
      ['string', 'number', 'boolean', 'undefined'].includes(typeof value) && !Number.isNaN(value)
    claims.check(isPlain, plain, `${path} is ${value === null ? 'null' : `a ${typeof value}`}`)
    return
  }
  claims.check(Object.isFrozen(value), 'capabilities are frozen', path)
  const prototype: unknown = Object.getPrototypeOf(value)
  const isRoot = prototype === null || Array.isArray(value) || Object.getPrototypeOf(prototype) === null
  claims.check(isRoot, plain, `${path} is of a class`)
  for (const [name, field] of Object.entries(Object.getOwnPropertyDescriptors(value))) {
    claims.check(
      field.get === undefined && field.enumerable === true,
      plain,
      `${path}.${name} is no plain field`,
    )
    checkPlain(claims, `${path}.${name}`, field.value)
  }
}

/** The same text for the same data, in whatever order. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value)
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${canonical(field)}`)
  return `{ ${fields.sort().join(', ')} }`
}
