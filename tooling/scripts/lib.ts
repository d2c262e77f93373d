import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The repository's folder. */
export const root: string = join(import.meta.dirname, '../..')

/** A tool that the root installs. */
export function bin(name: string): string {
  return join(root, 'node_modules/.bin', name)
}

export interface Manifest {
  readonly name: string
  readonly version: string
  readonly private?: boolean
  readonly exports?: Readonly<Record<string, unknown>>
  readonly bin?: Readonly<Record<string, string>>
}

export interface Package {
  readonly name: string
  readonly folder: string
  readonly manifest: Manifest
}

/** The packages that are published, by name. */
export function publicPackages(): Package[] {
  return readdirSync(join(root, 'packages'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(root, 'packages', entry.name))
    .map((folder) => ({ folder, manifest: readManifest(join(folder, 'package.json')) }))
    .filter(({ manifest }) => manifest.private !== true)
    .map(({ folder, manifest }) => ({ name: manifest.name, folder, manifest }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

export function readManifest(file: string): Manifest {
  return JSON.parse(readFileSync(file, 'utf8')) as Manifest
}

/** Runs a command and gives its standard output; throws with everything it printed when it fails. */
export function run(command: string, args: readonly string[], cwd: string, env = process.env): string {
  const result = spawnSync(command, args, { cwd, env, encoding: 'utf8', timeout: 300_000 })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0) {
    const how = result.signal ?? `exit code ${result.status}`
    throw new Error(`${command} ${args.join(' ')}: ${how}\n${result.stdout}${result.stderr}`)
  }
  return result.stdout
}
