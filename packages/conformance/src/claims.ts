import type { Failure } from '@notify/core'

/** A promise that was broken. The message is the rule, and what was found instead. */
export class Violation extends Error {
  override readonly name = 'Violation'

  constructor(rule: string, difference?: string) {
    super(difference === undefined || difference === '' ? rule : `${rule}: ${difference}`)
  }
}

/** What became of a message: confirmed, or the failure it was settled with. `undefined`: nothing yet. */
export type Outcome = 'confirmed' | Failure

/** What a case claims, and a count of it. A claim that does not hold throws a {@link Violation}. */
export class Claims {
  #count = 0

  get count(): number {
    return this.#count
  }

  /** `rule` says what must be: `'a closed driver sends nothing'`. */
  check(holds: boolean, rule: string, difference?: string): void {
    this.#count++
    if (!holds) throw new Violation(rule, difference)
  }

  /** What is there, since it must be. */
  found<T>(value: T | undefined, rule: string, difference?: string): T {
    this.check(value !== undefined, rule, difference)
    return value as T
  }

  equal<T extends string | number | boolean | undefined | null>(actual: T, expected: T, rule: string): void {
    this.check(Object.is(actual, expected), rule, `expected ${show(expected)}, found ${show(actual)}`)
  }

  /** The same ids, each as often, in any order. */
  sameIds(actual: Iterable<string>, expected: Iterable<string>, rule: string): void {
    this.check(...compare(rule, tally(actual), tally(expected)))
  }

  /** Every one of them, once or more often, and nothing else. */
  sameSet(actual: Iterable<string>, expected: Iterable<string>, rule: string): void {
    this.check(...compare(rule, tally(new Set(actual)), tally(new Set(expected))))
  }

  /** All of `part` is among `whole`. */
  includes(whole: Iterable<string>, part: Iterable<string>, rule: string): void {
    const there = new Set(whole)
    const missing = [...new Set(part)].filter((id) => !there.has(id))
    this.check(missing.length === 0, rule, `missing ${list(missing)}`)
  }

  /** None of `part` is among `whole`. */
  excludes(whole: Iterable<string>, part: Iterable<string>, rule: string): void {
    const unwanted = new Set(part)
    const found = [...new Set(whole)].filter((id) => unwanted.has(id))
    this.check(found.length === 0, rule, `found ${list(found)}`)
  }

  /** The same, in the same order. */
  sameOrder(actual: readonly string[], expected: readonly string[], rule: string): void {
    const at = expected.findIndex((id, index) => actual[index] !== id)
    const where = at < 0 ? expected.length : at
    const difference = `at ${where}: expected ${show(expected[where])}, found ${show(actual[where])}`
    this.check(at < 0 && actual.length === expected.length, rule, difference)
  }

  bytes(actual: Uint8Array, expected: Uint8Array, rule: string): void {
    const same = Buffer.compare(actual, expected) === 0
    const length = Math.min(actual.length, expected.length)
    let at = same ? length : 0
    while (at < length && actual[at] === expected[at]) at++
    const [had, wanted] = [actual[at], expected[at]].map((byte) => byte?.toString(16) ?? 'the end')
    const difference = `${actual.length} bytes of ${expected.length}, the first difference at ${at}: ${had} for ${wanted}`
    this.check(same, rule, difference)
  }

  headers(actual: Readonly<Record<string, string>>, expected: Record<string, string>, rule: string): void {
    const names = new Set([...Object.keys(actual), ...Object.keys(expected)])
    const different = [...names].filter((name) => own(actual, name) !== own(expected, name))
    const differences = different.map(
      (name) => `${show(name)}: ${show(own(actual, name))} for ${show(own(expected, name))}`,
    )
    this.check(different.length === 0, rule, differences.join(', '))
  }

  /** It was settled with a failure that has these fields. */
  failed(outcome: Outcome | undefined, expected: Partial<Failure>, rule: string): Failure {
    if (outcome === undefined || outcome === 'confirmed') {
      this.check(false, rule, `it was ${outcome ?? 'never settled'}`)
    }
    const failure = outcome as Failure
    const fields = Object.keys(expected) as (keyof Failure)[]
    const different = fields.filter((field) => failure[field] !== expected[field])
    const differences = different.map(
      (field) => `${field} is ${show(failure[field])}, not ${show(expected[field])}`,
    )
    this.check(different.length === 0, rule, `${describeFailure(failure)}: ${differences.join(', ')}`)
    return failure
  }
}

export function describeFailure({ code, reason, retryable, maybeSent, scope }: Failure): string {
  const facts = [retryable ? 'retryable' : 'final', maybeSent ? 'maybe sent' : 'not sent', scope]
  return `${code}${reason === undefined ? '' : ` ${reason}`} (${facts.join(', ')})`
}

export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  try {
    const text = typeof value === 'string' ? JSON.stringify(value) : String(value)
    return text.length > 120 ? `${text.slice(0, 117)}...` : text
  } catch {
    return 'something that cannot be printed'
  }
}

function own(record: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined
}

function tally(ids: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

function compare(
  rule: string,
  actual: ReadonlyMap<string, number>,
  expected: ReadonlyMap<string, number>,
): [boolean, string, string] {
  const missing = [...expected.keys()].filter((id) => !actual.has(id))
  const extra = [...actual.keys()].filter((id) => !expected.has(id))
  const often = [...actual].filter(([id, times]) => expected.has(id) && times !== expected.get(id))
  const differences = [
    ...(missing.length === 0 ? [] : [`missing ${list(missing)}`]),
    ...(extra.length === 0 ? [] : [`extra ${list(extra)}`]),
    ...(often.length === 0
      ? []
      : [
          `another number of ${list(often.map(([id, times]) => `${id} (${times} for ${expected.get(id)})`))}`,
        ]),
  ]
  return [differences.length === 0, rule, differences.join('; ')]
}

function list(ids: readonly string[]): string {
  const shown = ids.slice(0, 5).map((id) => (id.length > 60 ? `${id.slice(0, 57)}...` : id))
  return `${ids.length}: ${shown.join(', ')}${ids.length > 5 ? ', ...' : ''}`
}
