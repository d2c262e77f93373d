/**
 * Round after round, each kept as soon as it is done. What was begun goes on in the next run, as long as it is a run
 * of the same thing.
 */
import { join } from 'node:path'
import { type Stand, standOf, versionsOf } from './parts.ts'
import { outdated, type Progress, readProgress, writeJson } from './progress.ts'
import type { Opened, SoakPromise } from './promise.ts'

export interface SoakOptions {
  /** Of the repository. */
  readonly root: string
  /** Of the package that makes the promise. */
  readonly folder: string
  readonly seed: number | undefined
  /** How many rounds there are to be in all. Fewer than the promise's give no evidence. */
  readonly rounds: number | undefined
  /** It stops by itself when the next round could take it beyond this. */
  readonly minutes: number
  /** Only this one, which is written nowhere. */
  readonly only: number | undefined
  readonly say: (line: string) => void
}

export type End = 'done' | 'stopped' | 'broken' | 'unproven'

export async function soak<Round extends object>(
  promise: SoakPromise<Round>,
  options: SoakOptions,
): Promise<End> {
  const { root, folder, say } = options
  const stand = standOf(root)
  const opened = await promise.open()
  try {
    const versions = { ...versionsOf(folder), ...opened.versions }
    if (options.only === undefined) return await series(promise, opened, options, { stand, versions })
    const seed = options.seed ?? 0
    const result = await attempt(opened, options.only, seed)
    say(describe(promise, options.only, seed, result))
    return result.end
  } finally {
    await opened.close()
  }
}

async function series<Round extends object>(
  promise: SoakPromise<Round>,
  opened: Opened<Round>,
  { root, rounds: total = promise.rounds, minutes, say, seed: asked }: SoakOptions,
  { stand, versions }: { readonly stand: Stand; readonly versions: Progress['versions'] },
): Promise<End> {
  const { name } = promise
  const file = join(root, '.soak', `${name}.json`)
  let before = readProgress<Round>(file)
  const why = before && outdated(before, { key: stand.key, versions, seed: asked })
  if (before !== undefined && why !== undefined) {
    say(`${name} starts anew: ${why}`)
    before = undefined
  }
  let progress: Progress<Round> = before ?? {
    key: stand.key,
    versions,
    seed: asked ?? Date.now() % 1_000_000_000,
    rounds: [],
    unproven: 0,
    durationMs: 0,
  }
  const { seed, broken } = progress
  if (broken !== undefined) {
    say(`${name} was broken by round ${broken.index}: ${broken.message}`)
    say(`only another commit goes on from there; to repeat it: ${repeating(name, broken.index, seed)}`)
    return 'broken'
  }
  if (progress.rounds.length > 0)
    say(`${name} goes on after round ${progress.rounds.length - 1}, seed ${seed}`)

  const start = performance.now()
  let longest = 0
  while (progress.rounds.length < total) {
    const index = progress.rounds.length
    const spent = performance.now() - start
    if (index > 0 && spent + longest > minutes * 60_000) {
      say(`${name}: ${index} of ${total} rounds, and the time is over. To go on: pnpm test:soak ${name}`)
      return 'stopped'
    }
    const result = await attempt(opened, index, seed)
    say(describe(promise, index, seed, result))
    longest = Math.max(longest, result.ms)
    const { durationMs, unproven } = progress
    progress = { ...progress, durationMs: Math.round(durationMs + result.ms) }
    if (result.end === 'done') progress = { ...progress, rounds: [...progress.rounds, result.figures] }
    else if (result.end === 'unproven') progress = { ...progress, unproven: unproven + 1 }
    else progress = { ...progress, broken: { index, message: result.message } }
    writeJson(file, progress)
    if (result.end !== 'done') return result.end
  }
  if (total < promise.rounds) {
    say(`${name}: ${total} rounds; evidence takes ${promise.rounds}`)
    return 'done'
  }
  const evidence = evidenceOf(promise, progress, stand)
  writeJson(join(root, 'evidence', `${name}.json`), evidence)
  say(`${name} holds: evidence/${name}.json\n${JSON.stringify(evidence.figures, undefined, 2)}`)
  return 'done'
}

type Result<Round> =
  | { readonly end: 'done'; readonly figures: Round; readonly ms: number }
  | { readonly end: 'broken' | 'unproven'; readonly message: string; readonly ms: number }

async function attempt<Round extends object>(
  opened: Opened<Round>,
  index: number,
  seed: number,
): Promise<Result<Round>> {
  const start = performance.now()
  try {
    const figures = await opened.round({ index, seed: seed + index })
    return { end: 'done', figures, ms: performance.now() - start }
  } catch (error) {
    const { name, message } = error as Error
    const end = name === 'Unproven' ? 'unproven' : 'broken'
    return { end, message, ms: performance.now() - start }
  }
}

function describe(
  { name, rounds }: Pick<SoakPromise, 'name' | 'rounds'>,
  index: number,
  seed: number,
  result: Result<object>,
): string {
  const which = `${name} ${index} (${index + 1} of ${rounds}), ${(result.ms / 1_000).toFixed(1)} s`
  if (result.end === 'done') return `${which}: ${JSON.stringify(result.figures)}`
  const what = result.end === 'broken' ? 'BROKEN' : 'PROVED NOTHING'
  return `${which}: ${what}, seed ${seed}: ${result.message}\nto repeat it: ${repeating(name, index, seed)}`
}

function repeating(name: string, index: number, seed: number): string {
  return `pnpm test:soak ${name} --round ${index} --seed ${seed}`
}

function evidenceOf<Round extends object>(
  promise: SoakPromise<Round>,
  { seed, versions, rounds, unproven, durationMs }: Progress<Round>,
  { commit, changed }: Stand,
) {
  const sorted = Object.entries(versions).sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    promise: promise.name,
    title: promise.title,
    commit,
    ...(changed.length === 0 ? {} : { changed: changed.join(', ') }),
    date: new Date().toISOString().slice(0, 10),
    seed,
    versions: Object.fromEntries(sorted),
    rounds: rounds.length,
    unproven,
    figures: promise.summary(rounds),
    durationMs,
    ...(promise.detail === undefined ? {} : { detail: promise.detail(rounds) }),
  }
}
