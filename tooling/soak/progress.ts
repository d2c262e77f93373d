import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

/** What has been done so far: everything that evidence will be made of. */
export interface Progress<Round extends object = object> {
  /** Of the commit and what has changed since. */
  readonly key: string
  readonly versions: Readonly<Record<string, string>>
  readonly seed: number
  readonly rounds: readonly Round[]
  /** Rounds that were begun and proved nothing. */
  readonly unproven: number
  readonly durationMs: number
  /** The round that broke the promise, and how. Only another commit goes on from there. */
  readonly broken?: { readonly index: number; readonly message: string }
}

export function readProgress<Round extends object>(file: string): Progress<Round> | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Progress<Round>
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

export function writeJson(file: string, value: unknown): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(value, undefined, 2)}\n`)
}

/** Why what was done before does not count, or `undefined`. */
export function outdated(
  before: Pick<Progress, 'key' | 'versions' | 'seed'>,
  now: { readonly key: string; readonly versions: Progress['versions']; readonly seed: number | undefined },
): string | undefined {
  if (before.key !== now.key) return `it was of ${before.key}, this is ${now.key}`
  const names = new Set([...Object.keys(before.versions), ...Object.keys(now.versions)])
  for (const name of names) {
    const [then, is] = [before.versions[name], now.versions[name]]
    if (then !== is) return `${name} was ${then}, and is ${is}`
  }
  if (now.seed !== undefined && now.seed !== before.seed)
    return `its seed was ${before.seed}, this is ${now.seed}`
  return undefined
}
