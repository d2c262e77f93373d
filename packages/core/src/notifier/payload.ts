import { type Failure, failure, invalid, isNotifyError, toFailure } from '../errors.ts'

/** More values than a sensible notification has: a walk stops there. */
const MOST_NODES = 1_000_000

/** Says why a payload could not be encoded. Only called when it could not, since it walks the whole of it. */
export function explain(payload: unknown, error: unknown): Failure {
  return (
    known(error) ??
    walk(payload, false) ?? { ...invalid('payload-encode', 'The payload cannot be encoded.'), cause: error }
  )
}

/** What the error itself says, if it can be asked: it may be anything that a getter threw. */
function known(error: unknown): Failure | undefined {
  try {
    return isGivenFailure(error) ? toFailure(error) : rangeFailure(error)
  } catch {
    return undefined
  }
}

function rangeFailure(error: unknown): Failure | undefined {
  // What a program's own code throws may look alike, and is then told from it by the message.
  if (error instanceof RangeError && /string length/i.test(error.message)) {
    return failure('TOO_LARGE', 'payload-length', 'The encoded payload is longer than the longest string.')
  }
  if (error instanceof RangeError && /call stack/i.test(error.message)) {
    return invalid('payload-too-deep', 'The payload is nested too deeply to be encoded.')
  }
  return undefined
}

/** What `strict: true` refuses: whatever JSON would change or leave out without a word. */
export function checkStrict(payload: unknown): Failure | undefined {
  return walk(payload, true)
}

function isGivenFailure(error: unknown): boolean {
  return (
    isNotifyError(error) ||
    (typeof error === 'object' &&
      error !== null &&
      !(error instanceof Error) &&
      'code' in error &&
      'retryable' in error)
  )
}

/** One object whose members are being visited. Iterative, so that no depth can overflow the stack. */
interface Frame {
  readonly object: object
  readonly keys: readonly string[] | undefined
  readonly length: number
  readonly name: string
  index: number
}

function walk(payload: unknown, strict: boolean): Failure | undefined {
  const frames: Frame[] = []
  const ancestors = new Set<object>()
  let nodes = 0

  const at = (name?: string) =>
    `$${frames
      .slice(1)
      .map((frame) => frame.name)
      .join('')}${name ?? ''}`
  const tooMany = () =>
    failure('TOO_LARGE', 'payload-nodes', `The payload has more than ${MOST_NODES} values.`)

  /** Looks at one value, and opens it where it has members. */
  const enter = (given: unknown, key: string, name: string, inArray: boolean): Failure | undefined => {
    let value = given
    const path = () => at(frames.length === 0 ? undefined : name)
    try {
      let lost = strict ? lossy(value, inArray) : undefined
      if (
        lost === undefined &&
        ((typeof value === 'object' && value !== null) || typeof value === 'bigint')
      ) {
        const toJSON = (value as { toJSON?: unknown }).toJSON
        if (typeof toJSON === 'function') {
          value = toJSON.call(value, key)
          if (strict) lost = lossy(value, inArray)
        }
      }
      if (lost !== undefined)
        return { ...invalid('payload-lossy', `JSON cannot carry ${lost}.`), path: path() }
    } catch (cause) {
      return { ...invalid('payload-encode', 'Its toJSON threw.'), path: path(), cause }
    }
    if (typeof value === 'bigint')
      return { ...invalid('payload-bigint', 'JSON has no BigInt; send a string.'), path: path() }
    if (typeof value !== 'object' || value === null) return undefined
    if (ancestors.has(value)) return { ...invalid('payload-cycle', 'It refers to itself.'), path: path() }
    try {
      const isArray = Array.isArray(value)
      const keys = isArray ? undefined : Object.keys(value)
      const length = keys?.length ?? (value as unknown[]).length
      if (nodes + length > MOST_NODES) return strict ? tooMany() : undefined
      ancestors.add(value)
      frames.push({ object: value, keys, length, name: frames.length === 0 ? '' : name, index: 0 })
    } catch (cause) {
      return { ...invalid('payload-encode', 'It cannot be read.'), path: path(), cause }
    }
    return undefined
  }

  let found = enter(payload, '', '', false)
  for (let frame = frames.at(-1); found === undefined && frame !== undefined; frame = frames.at(-1)) {
    if (frame.index === frame.length) {
      ancestors.delete(frame.object)
      frames.pop()
      continue
    }
    if (++nodes > MOST_NODES) return strict ? tooMany() : undefined
    const { object, keys } = frame
    const index = frame.index++
    const key = keys?.[index] ?? String(index)
    const name =
      keys === undefined
        ? `[${index}]`
        : /^[A-Za-z_$][\w$]*$/.test(key)
          ? `.${key}`
          : `[${JSON.stringify(key)}]`
    let value: unknown
    try {
      value = (object as Record<string, unknown>)[key]
    } catch (cause) {
      return { ...invalid('payload-encode', 'Reading it threw.'), path: at(name), cause }
    }
    found = enter(value, key, name, keys === undefined)
  }
  return found
}

/** What JSON would lose of a value, in words. */
function lossy(value: unknown, inArray: boolean): string | undefined {
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : String(value)
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`
  if (value === undefined) return inArray ? 'undefined in an array' : undefined
  if (typeof value !== 'object' || value === null) return undefined
  if (ArrayBuffer.isView(value)) return 'bytes; send text, such as base64'
  const tag = Object.prototype.toString.call(value).slice(8, -1)
  if (LOST.includes(tag)) return `a ${tag}`
  if (value instanceof Error) return 'an Error'
  return tag === 'Date' && Number.isNaN(Number(value)) ? 'an invalid Date' : undefined
}

const LOST = [
  'Map',
  'Set',
  'WeakMap',
  'WeakSet',
  'WeakRef',
  'Promise',
  'ArrayBuffer',
  'SharedArrayBuffer',
  'Error',
  'RegExp',
]
