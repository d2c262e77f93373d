/** What a run is a run of: the commit and what has changed since, and the versions of all parts. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

export interface Stand {
  readonly commit: string
  /** Files that differ from the commit. */
  readonly changed: readonly string[]
  /** Another one where anything differs. */
  readonly key: string
}

/** What soak itself writes, and what is made of it, does not count as a change. */
const WRITTEN = [':!evidence', ':!docs/evidence.md']

export function standOf(root: string): Stand {
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 })
  const commit = git('rev-parse', '--short', 'HEAD').trim()
  const status = git('status', '--porcelain', '--untracked-files=all', '--', '.', ...WRITTEN)
  const changed = status
    .split('\n')
    .filter(Boolean)
    .map((line) => line.slice(3))
  const hash = createHash('sha1').update(git('diff', 'HEAD', '--', '.', ...WRITTEN))
  for (const file of changed) if (existsSync(join(root, file))) hash.update(readFileSync(join(root, file)))
  return {
    commit,
    changed,
    key: changed.length === 0 ? commit : `${commit}+${hash.digest('hex').slice(0, 8)}`,
  }
}

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** Node's, the package's, and those of what it depends on, as they are installed. */
export function versionsOf(folder: string): Record<string, string> {
  const versions: Record<string, string> = { node: process.versions.node }
  if (!existsSync(join(folder, 'package.json'))) return versions
  const { name, version, dependencies, peerDependencies } = manifest(folder)
  versions[name] = version
  for (const each of Object.keys({ ...dependencies, ...peerDependencies })) {
    versions[each] = manifest(join(folder, 'node_modules', each)).version
  }
  return versions
}

function manifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest
}
