import type { ErrorCode, Failure } from '@notify/core'
import { type Claims, describeFailure, show } from '../claims.ts'

/** All codes, and whether another attempt could succeed. */
const CODES: Readonly<Record<ErrorCode, boolean>> = {
  UNAVAILABLE: true,
  THROTTLED: true,
  UNROUTABLE: false,
  CONFLICT: false,
  UNAUTHENTICATED: false,
  FORBIDDEN: false,
  TOO_LARGE: false,
  INVALID: false,
  UNSUPPORTED: false,
  CLOSED: false,
  ABORTED: false,
  DEADLINE: false,
  OVERLOADED: false,
  SHED: false,
  CORRUPT: false,
  UNKNOWN: false,
}
const SCOPES: readonly unknown[] = ['message', 'destination', 'transport']
const TEXT = (value: unknown): boolean => typeof value === 'string' && value.trim() !== ''

/** What a field must be, where it is there. */
const FIELDS: Readonly<Partial<Record<keyof Failure, (value: unknown) => boolean>>> = {
  code: (value) => typeof value === 'string' && Object.hasOwn(CODES, value),
  reason: (value) => typeof value === 'string' && /^[a-z0-9]+(-[a-z0-9]+)*$/.test(value),
  message: TEXT,
  retryable: (value) => typeof value === 'boolean',
  maybeSent: (value) => typeof value === 'boolean',
  scope: (value) => SCOPES.includes(value),
  retryAfterMs: (value) => typeof value === 'number' && value >= 0 && Number.isFinite(value),
  path: TEXT,
}
const NEEDED: readonly string[] = ['code', 'retryable', 'maybeSent', 'scope']

/** What keeps a value from being a whole failure; `undefined` for nothing. */
export function flawOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return `it is ${show(value)}`
  const fields = value as Record<string, unknown>
  for (const name of NEEDED) if (fields[name] === undefined) return `it has no ${name}`
  for (const [name, fits] of Object.entries(FIELDS)) {
    const field = fields[name]
    if (field !== undefined && !fits(field)) return `${name} is ${show(field)}`
  }
  const { code, retryable } = value as Failure
  if (retryable !== CODES[code]) return `${code} is said to be ${retryable ? 'retryable' : 'final'}`
  return undefined
}

/** What keeps it from being plain data, which any copy of core takes: no class, no getter, nothing inherited. */
export function classOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const prototype: unknown = Object.getPrototypeOf(value)
  // The root of any realm has no prototype of its own.
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null
  if (!isPlain)
    return `it is a ${show((prototype as { constructor?: { name?: unknown } }).constructor?.name)}`
  for (const [name, { value: field, enumerable }] of Object.entries(
    Object.getOwnPropertyDescriptors(value),
  )) {
    if (field === undefined || enumerable !== true) return `${name} is no plain field`
  }
  return undefined
}

/** It rejected with the fields of a failure, whatever its class. Gives it. */
export function rejectedWith(
  claims: Claims,
  error: unknown,
  expected: Partial<Failure>,
  rule: string,
): Failure {
  const isFailure = typeof error === 'object' && error !== null && 'code' in error
  claims.check(isFailure, rule, error === undefined ? 'it did not reject' : `it rejected with ${show(error)}`)
  const fields = Object.entries(expected)
  const different = fields.filter(([name, value]) => (error as Record<string, unknown>)[name] !== value)
  const wanted = different.map(([name, value]) => `${name} is not ${show(value)}`).join(', ')
  claims.check(different.length === 0, rule, `${describeFailure(error as Failure)}: ${wanted}`)
  return error as Failure
}

/** Where a secret can be read in what somebody was given, at any depth: `cause.config.url`. */
export function findSecret(value: unknown, secret: string): string | undefined {
  const forms = [secret, ...inBase64(secret)]
  const seen = new Set<unknown>()
  const waiting: { readonly path: string; readonly value: unknown }[] = [{ path: '', value }]
  for (let next = waiting.shift(); next !== undefined && seen.size < MOST; next = waiting.shift()) {
    const { path, value: part } = next
    if (typeof part === 'string' && forms.some((form) => part.includes(form))) return path
    if (typeof part !== 'object' || part === null || seen.has(part)) continue
    seen.add(part)
    if (ArrayBuffer.isView(part)) {
      const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
      waiting.push({ path, value: DECODER.decode(bytes) })
      continue
    }
    for (const [name, child] of partsOf(part)) {
      waiting.push({ path: path === '' ? name : `${path}.${name}`, value: child })
    }
  }
  return undefined
}

/** A native error may hold on to half the program. */
const MOST = 200_000
const DECODER = new TextDecoder()

function partsOf(value: object): [string, unknown][] {
  if (value instanceof Map)
    return [...value].flatMap(([key, each]) => [toPart('key', key), toPart('value', each)])
  if (value instanceof Set) return [...value].map((each) => toPart('member', each))
  const parts: [string, unknown][] = value instanceof URL ? [toPart('href', value.href)] : []
  // Stack and message of an error are not enumerable, and a getter shows what it hides to whoever prints it.
  for (const key of Reflect.ownKeys(value)) {
    try {
      parts.push(toPart(String(key), (value as Record<PropertyKey, unknown>)[key]))
    } catch {
      // Nobody can read it, then.
    }
  }
  return parts
}

function toPart(name: string, value: unknown): [string, unknown] {
  return [name, value]
}

/** As it looks within Base64, wherever it begins: credentials are known to travel so. */
function inBase64(secret: string): string[] {
  return [0, 1, 2].map((before) => {
    const text = Buffer.from('\0'.repeat(before) + secret).toString('base64')
    return text.slice(before === 0 ? 0 : 4, -4)
  })
}
