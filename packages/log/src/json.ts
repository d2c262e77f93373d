import { MASK, type Secrets } from './secrets.ts'

/** An object or array that is being written. */
interface Frame {
  readonly value: Record<string, unknown> | readonly unknown[]
  readonly names: readonly string[] | undefined
  index: number
}

/**
 * JSON of what `JSON.parse` gave, with secrets hidden and nothing in it that a terminal acts on. About `limit`
 * characters; what is beyond is left out, marked, and the rest is still JSON. Needs no stack, however deep the
 * value, and copies nothing, so that a key `__proto__` is a key like any other.
 */
export function toJson(root: unknown, secrets: Secrets, limit: number): string {
  const frames: Frame[] = []
  let out = ''

  function write(value: unknown): void {
    if (typeof value === 'string') {
      out += quote(toText(value, secrets, limit - out.length))
    } else if (typeof value === 'object' && value !== null) {
      const isArray = Array.isArray(value)
      out += isArray ? '[' : '{'
      frames.push({
        value: value as Frame['value'],
        names: isArray ? undefined : Object.keys(value),
        index: 0,
      })
    } else {
      out += JSON.stringify(value) ?? 'null'
    }
  }

  write(root)
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    const { value, names } = frame
    const size = names?.length ?? (value as readonly unknown[]).length
    if (frame.index === size) {
      out += names === undefined ? ']' : '}'
      frames.pop()
      continue
    }
    if (frame.index > 0) out += ','
    if (out.length >= limit) {
      out += names === undefined ? `"${TRUNCATED}"` : `"${TRUNCATED}":${size - frame.index}`
      frame.index = size
      // Those around it end here too.
      for (const each of frames) each.index = each.names?.length ?? (each.value as readonly unknown[]).length
      continue
    }
    const name = names?.[frame.index]
    const child = (value as Record<string, unknown>)[name ?? frame.index]
    frame.index++
    if (name === undefined) {
      write(child)
      continue
    }
    out += `${quote(cut(name, limit - out.length).join(''))}:`
    if (secrets.has(name)) out += `"${MASK}"`
    else write(child)
  }
  return out
}

const TRUNCATED = '[truncated]'

/** How much of a text fits, and what to say of the rest. */
function cut(text: string, room: number): [kept: string, mark: string] {
  if (text.length <= room) return [text, '']
  const length = Math.max(room, 0)
  return [text.slice(0, length), `[truncated: ${text.length - length} characters]`]
}

/** A text with secrets hidden, those in JSON that it holds as in any other. */
function toText(text: string, secrets: Secrets, room: number): string {
  const [kept, mark] = cut(text, room)
  if (!secrets.suspects(kept)) return kept + mark
  if (/^\s*[{[]/.test(kept)) {
    try {
      // This ends soon: each JSON in a string in JSON needs twice the escapes of the one around it.
      return toJson(JSON.parse(kept), secrets, room)
    } catch {
      // Not JSON, or no longer. It is text then.
    }
  }
  return secrets.hide(kept) + mark
}

// What moves a cursor, ends a line, turns the direction of text or is no character: C1, DEL, separators,
// bidirectional controls, the byte order mark. JSON.stringify has escaped C0 and lone surrogates already.
const UNSAFE = /[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff]/g

/** A JSON string that can be shown anywhere. */
export function quote(text: string): string {
  return JSON.stringify(text).replace(UNSAFE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}
