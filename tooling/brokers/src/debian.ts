/**
 * Programs from Debian's packages, unpacked into a folder: nothing is installed, no rights are needed, and the
 * machine may run another release. It works on what has apt, dpkg and a Debian mirror in its sources.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { command, missing } from './command.ts'

/** What has to be on the PATH. */
const NEEDED = ['apt-get', 'apt-cache', 'apt-config', 'dpkg', 'flock']

/** Why packages cannot be unpacked here, or `undefined`. */
export function lacking(): string | undefined {
  if (process.platform !== 'linux') return `packages of Debian do not run on ${process.platform}`
  const programs = missing(NEEDED)
  return programs.length > 0 ? `${programs.join(', ')} not found` : undefined
}

export interface Wanted {
  /** Debian's name for a release: `trixie`. */
  readonly suite: string
  /** The package that is wanted. */
  readonly name: string
  /** Of all that it depends on, what is unpacked as well. */
  readonly needs: (name: string) => boolean
}

/** Downloads and unpacks the newest version that the suite has, and gives that version. */
export async function unpack(folder: string, { suite, name, needs }: Wanted): Promise<string> {
  const apt = join(folder, 'apt')
  const env = await writeState(apt)
  await update(apt, env, suite)
  const relations = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances']
  const flags = ['--recurse', ...relations.map((relation) => `--no-${relation}`)]
  const depends = await command('apt-cache', ['depends', ...flags, name], { env })
  const names = new Set(depends.split('\n').filter((line) => /^[a-z0-9]/.test(line)))
  const chosen = [...names].filter((each) => each === name || needs(each))
  const archives = join(apt, 'archives')
  await command('apt-get', ['download', '--quiet', ...chosen], { env, cwd: archives, timeoutMs: 600_000 })
  const files = readdirSync(archives).filter((file) => file.endsWith('.deb'))
  for (const file of files) await command('dpkg', ['--extract', join(archives, file), folder])
  rmSync(apt, { recursive: true })
  const own = files.find((file) => file.startsWith(`${name}_`)) ?? ''
  return decodeURIComponent(own.split('_')[1] ?? '')
}

/** A state of apt's own. Gives the environment in which apt uses it. */
async function writeState(folder: string): Promise<NodeJS.ProcessEnv> {
  for (const part of ['archives', 'lists/partial', 'cache/archives/partial']) {
    mkdirSync(join(folder, part), { recursive: true })
  }
  const settings = {
    'Dir::Etc::sourcelist': join(folder, 'sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::Etc::parts': '/dev/null',
    'Dir::Etc::preferences': '/dev/null',
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': folder,
    'Dir::State::status': join(folder, 'status'),
    'Dir::Cache': join(folder, 'cache'),
    'Dir::Cache::pkgcache': '',
    'Dir::Cache::srcpkgcache': '',
    'APT::Architecture': (await command('dpkg', ['--print-architecture'])).trim(),
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    // What a mirror gives is signed, but a mirror that stands still serves it beyond its date.
    'Acquire::Check-Valid-Until': 'false',
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} "${value}";`)
  writeFileSync(join(folder, 'apt.conf'), [...lines, ...(await proxies())].join('\n'))
  writeFileSync(join(folder, 'status'), '')
  return { ...process.env, APT_CONFIG: join(folder, 'apt.conf'), LC_ALL: 'C.UTF-8' }
}

/** Reads what the suite has, from the first mirror that has the suite. */
async function update(folder: string, env: NodeJS.ProcessEnv, suite: string): Promise<void> {
  const keyring = ['gpg', 'pgp']
    .map((end) => `/usr/share/keyrings/debian-archive-keyring.${end}`)
    .find(existsSync)
  const options = keyring === undefined ? '' : `[signed-by=${keyring}] `
  const errors: unknown[] = []
  for (const mirror of await mirrors(folder)) {
    writeFileSync(join(folder, 'sources.list'), `deb ${options}${mirror} ${suite} main\n`)
    try {
      await command('apt-get', ['update', '--quiet', '--error-on=any'], { env, timeoutMs: 300_000 })
      return
    } catch (error) {
      errors.push(error)
    }
  }
  if (errors.length === 0) throw new Error('apt has no sources here: set NOTIFY_DEBIAN_MIRROR')
  throw errors[0]
}

/** The mirrors that the machine itself uses; signatures tell Debian's from others. */
async function mirrors(folder: string): Promise<Set<string>> {
  const { NOTIFY_DEBIAN_MIRROR } = process.env
  if (NOTIFY_DEBIAN_MIRROR) return new Set([NOTIFY_DEBIAN_MIRROR])
  // What an update would fetch. Nothing is fetched, and no list need be there already.
  const lists = `Dir::State::lists=${join(folder, 'lists')}`
  const uris = await command('apt-get', ['update', '--print-uris', '--option', lists])
  return new Set(
    [...uris.matchAll(/^'(\S+)\/dists\/[a-z]+\/main\/binary-/gm)].map(([, uri]) => uri as string),
  )
}

/** How the machine's own apt gets out. */
async function proxies(): Promise<string[]> {
  const settings = await command('apt-config', ['dump', 'Acquire'])
  return settings.split('\n').filter((line) => /^Acquire::https?::.*proxy/i.test(line))
}

/**
 * Lets every program under `folder` run on a machine of another release: with the loader and the libraries that
 * lie beside it in `root`, which the shell script that takes its place names.
 */
export function wrapPrograms(folder: string, root: string): void {
  const libraries = ['lib', 'usr/lib']
    .flatMap((path) => children(join(root, path)))
    .filter((path) => /-linux-gnu\w*$/.test(path))
  const loader = libraries.flatMap(children).find((path) => /\/ld-linux[^/]*\.so\.\d+$/.test(path))
  if (loader === undefined) throw new Error(`no loader under ${root}`)
  const paths = libraries.join(':')
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name)
    if (!entry.isFile() || /\.(so|a|o)(\.|$)/.test(entry.name) || !isElf(file)) continue
    renameSync(file, `${file}.real`)
    const call = `exec '${loader}' --argv0 "$0" --library-path '${paths}' '${file}.real' "$@"`
    writeFileSync(file, `#!/bin/sh\n${call}\n`)
    chmodSync(file, 0o755)
  }
}

/** Replaces text in a script. */
export function patch(file: string, from: string, to: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll(from, to))
}

function children(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
}

function isElf(file: string): boolean {
  const start = Buffer.alloc(4)
  const descriptor = openSync(file, 'r')
  try {
    readSync(descriptor, start)
  } finally {
    closeSync(descriptor)
  }
  return start.toString('latin1') === '\x7fELF'
}
