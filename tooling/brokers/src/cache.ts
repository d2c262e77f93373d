import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, realpathSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join } from 'node:path'
import { locked } from './lock.ts'

/** The variable that says why nothing is to be downloaded. */
export const CACHE_ONLY = 'NOTIFY_CACHE_ONLY'

/** Where brokers are kept between runs. */
export function cacheFolder(): string {
  const { NOTIFY_CACHE, XDG_CACHE_HOME } = process.env
  if (NOTIFY_CACHE) return NOTIFY_CACHE
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'notify-brokers')
}

/** Whether the cache has it. */
export function isCached(name: string): boolean {
  return existsSync(join(cacheFolder(), name))
}

/**
 * The folder of that name in the cache. If there is none, `make` fills one, in one process at a time. It is whole
 * or not there at all: the name is a link that is put in place when `make` has returned, to a folder whose path
 * never changes, since unpacked programs know where they are.
 */
export async function cached(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const cache = cacheFolder()
  const link = join(cache, name)
  if (existsSync(link)) return realpathSync(link)
  const reason = process.env[CACHE_ONLY]
  if (reason) throw new Error(`${name} is not in ${cache}, and nothing is downloaded: ${reason}`)
  mkdirSync(cache, { recursive: true })
  return await locked(`${link}.lock`, async () => {
    if (existsSync(link)) return realpathSync(link)
    // Nobody else is at work: what lies here was left by a run that did not come to its end.
    for (const old of readdirSync(cache).filter((entry) => entry.startsWith(`${name}-`))) {
      rmSync(join(cache, old), { recursive: true, force: true })
    }
    const folder = join(realpathSync(cache), `${name}-${randomUUID().slice(0, 8)}`)
    mkdirSync(folder)
    try {
      await make(folder)
      symlinkSync(basename(folder), `${folder}.link`)
      renameSync(`${folder}.link`, link)
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
    return folder
  })
}
