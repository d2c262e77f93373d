import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, type TestContext, test, vi } from 'vitest'
import { cached } from '../src/cache.ts'
import { eventually } from '../src/index.ts'
import { locked } from '../src/lock.ts'

beforeEach(() => void vi.stubEnv('NOTIFY_CACHE_ONLY', ''))
afterEach(() => void vi.unstubAllEnvs())

function temporary(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'notify-parts-'))
  context.onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

describe('the cache', () => {
  test('makes a thing once, for all who want it at the same time', async (context) => {
    vi.stubEnv('NOTIFY_CACHE', temporary(context))
    let made = 0
    const make = async (folder: string): Promise<void> => {
      made++
      writeFileSync(join(folder, 'thing'), folder)
    }
    const folders = await Promise.all([1, 2, 3].map(() => cached('thing-1', make)))
    expect([made, new Set(folders).size]).toEqual([1, 1])
    const [folder] = folders as [string]
    // The path that it was made at is the one that it is used at.
    expect(readFileSync(join(folder, 'thing'), 'utf8')).toBe(folder)
  })

  test('keeps nothing of what was not made to its end, or was left by a run that was killed', async (context) => {
    const cache = temporary(context)
    vi.stubEnv('NOTIFY_CACHE', cache)
    writeFileSync(join(cache, 'thing-left'), '')
    await expect(cached('thing', () => Promise.reject(new Error('no network')))).rejects.toThrow('no network')
    expect(readdirSync(cache)).toEqual(['thing.lock'])
    await cached('thing', async () => {})
    expect(existsSync(join(cache, 'thing'))).toBe(true)
  })
})

describe('a lock', () => {
  test('lets one in at a time', async (context) => {
    const file = join(temporary(context), 'lock')
    const log: string[] = []
    const task = (name: string) => () => {
      log.push(`${name} in`)
      return new Promise<void>((resolve) => {
        setImmediate(() => {
          log.push(`${name} out`)
          resolve()
        })
      })
    }
    await Promise.all([locked(file, task('a')), locked(file, task('b'))])
    expect([log[1], log[3]]).toEqual([log[0]?.replace('in', 'out'), log[2]?.replace('in', 'out')])
  })

  test('ends with the process that has it', async (context) => {
    const file = join(temporary(context), 'lock')
    const source = join(import.meta.dirname, '../src/lock.ts')
    const code = `import { locked } from ${JSON.stringify(source)}
      await locked(${JSON.stringify(file)}, () => { console.log('in'); return new Promise(() => {}) })`
    const holder = spawn(process.execPath, ['--input-type=module', '--eval', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(holder.stdout, 'data')
    holder.kill('SIGKILL')
    expect(await locked(file, async () => 'free')).toBe('free')
  })
})

describe('eventually', () => {
  test('gives what the look gave, as soon as it is something', async () => {
    let looks = 0
    expect(await eventually(() => ++looks === 3 && looks, { everyMs: 1 })).toBe(3)
  })

  test('ends in time with the last reason, also where a look hangs', async () => {
    const refused = new Error('refused')
    const failing = eventually(() => Promise.reject(refused), { withinMs: 30, everyMs: 5, what: 'the port' })
    await expect(failing).rejects.toMatchObject({ message: 'the port: not within 30 ms', cause: refused })
    const hanging = eventually(() => new Promise(() => {}), { withinMs: 30 })
    await expect(hanging).rejects.toThrow('not within 30 ms')
  })
})
