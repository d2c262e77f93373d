import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, type TestContext, test } from 'vitest'
import { spread } from '../figures.ts'
import type { SoakPromise } from '../promise.ts'
import { type End, type SoakOptions, soak } from '../runner.ts'

interface Round {
  readonly index: number
  readonly seed: number
}

/** Stops after one round. */
const ONE_ROUND = { minutes: 0 }

function setUp({ onTestFinished }: TestContext) {
  const root = mkdtempSync(join(tmpdir(), 'notify-soak-test-'))
  onTestFinished(() => rmSync(root, { recursive: true }))
  const git = (...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], {
      cwd: root,
      encoding: 'utf8',
    })
  const commit = (text: string): void => {
    writeFileSync(join(root, 'source'), text)
    git('add', 'source')
    git('commit', '--quiet', '--message', text)
  }
  git('init', '--quiet')
  writeFileSync(join(root, '.git/info/exclude'), '.soak/\n')
  commit('first')

  const ran: Round[] = []
  const lines: string[] = []
  let open = 0
  const broker = { version: '4.0.5' }
  let trouble: Error | undefined
  const promise: SoakPromise<Round> = {
    name: 'kept',
    title: 'it is kept',
    rounds: 3,
    async open() {
      open++
      return {
        versions: { broker: broker.version },
        async round(turn) {
          ran.push(turn)
          if (trouble !== undefined) throw trouble
          return turn
        },
        async close() {
          open--
        },
      }
    },
    summary: (rounds) => ({ seeds: rounds.map(({ seed }) => seed).join() }),
  }
  const run = async (options: Partial<SoakOptions> = {}): Promise<End> => {
    const say = (line: string): void => void lines.push(line)
    const defaults = {
      root,
      folder: root,
      seed: undefined,
      rounds: undefined,
      minutes: 18,
      only: undefined,
      say,
    }
    const end = await soak(promise, { ...defaults, ...options })
    expect(open).toBe(0)
    return end
  }
  const file = join(root, 'evidence/kept.json')
  return {
    root,
    run,
    ran,
    lines,
    commit,
    broker,
    head: () => git('rev-parse', '--short', 'HEAD').trim(),
    fail: (error: Error | undefined) => {
      trouble = error
    },
    evidence: () => (existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as object) : undefined),
  }
}

test('when the time is over it stops, and says how to go on; what was done is not done again', async (context) => {
  const { run, ran, lines, evidence, head } = setUp(context)
  expect(await run({ seed: 7, ...ONE_ROUND })).toBe('stopped')
  expect(await run(ONE_ROUND)).toBe('stopped')
  expect(evidence()).toBeUndefined()
  expect(lines.at(-1)).toContain('pnpm test:soak kept')
  expect(await run()).toBe('done')
  expect(ran).toEqual([0, 1, 2].map((index) => ({ index, seed: 7 + index })))
  expect(evidence()).toMatchObject({
    promise: 'kept',
    commit: head(),
    seed: 7,
    versions: { broker: '4.0.5', node: process.versions.node },
    rounds: 3,
    unproven: 0,
    figures: { seeds: '7,8,9' },
  })
  expect(evidence()).not.toHaveProperty('changed')
})

test('another commit, another version, another file, another seed: it starts anew and says why', async (context) => {
  const { root, run, ran, lines, commit, broker } = setUp(context)
  await run({ seed: 1, ...ONE_ROUND })
  commit('second')
  await run(ONE_ROUND)
  broker.version = '4.3.0'
  await run(ONE_ROUND)
  writeFileSync(join(root, 'source'), 'third')
  await run(ONE_ROUND)
  writeFileSync(join(root, 'source'), 'fourth')
  await run(ONE_ROUND)
  await run({ seed: 5, ...ONE_ROUND })
  expect(ran.map(({ index }) => index)).toEqual([0, 0, 0, 0, 0, 0])
  const anew = lines.filter((line) => line.includes('starts anew'))
  expect(anew).toHaveLength(5)
  expect(anew[1]).toContain('broker was 4.0.5, and is 4.3.0')
})

test('evidence says which files differed from its commit, its own apart', async (context) => {
  const { root, run, evidence } = setUp(context)
  await run()
  expect(evidence()).not.toHaveProperty('changed')
  writeFileSync(join(root, 'source'), 'changed')
  await run()
  expect(evidence()).toMatchObject({ changed: 'source' })
})

test('a broken promise: no evidence, not on a second try either, and the round can be repeated', async (context) => {
  const { run, ran, lines, evidence, fail, commit } = setUp(context)
  await run({ seed: 3, ...ONE_ROUND })
  fail(new Error('2 are lost'))
  expect(await run()).toBe('broken')
  expect(lines.join('\n')).toContain('2 are lost')
  expect(lines.at(-1)).toContain('pnpm test:soak kept --round 1 --seed 3')
  fail(undefined)
  expect(await run({ only: 1, seed: 3 })).toBe('done')
  expect(ran.at(-1)).toEqual(ran.at(-2))
  expect(await run()).toBe('broken')
  expect(evidence()).toBeUndefined()
  commit('mended')
  expect(await run()).toBe('done')
  expect(evidence()).toMatchObject({ rounds: 3 })
})

test('a round that proved nothing is no failure and no success: it is counted, and made again', async (context) => {
  const { run, evidence, fail } = setUp(context)
  fail(Object.assign(new Error('it did not die'), { name: 'Unproven' }))
  expect(await run()).toBe('unproven')
  fail(undefined)
  expect(await run()).toBe('done')
  expect(evidence()).toMatchObject({ rounds: 3, unproven: 1 })
})

test('fewer rounds than the promise has: no evidence', async (context) => {
  const { run, evidence, ran } = setUp(context)
  expect(await run({ rounds: 2 })).toBe('done')
  expect(ran).toHaveLength(2)
  expect(evidence()).toBeUndefined()
})

test('a spread is made of values that there were', () => {
  const values = Array.from({ length: 200 }, (_, index) => 200 - index)
  expect(spread('ms', values)).toEqual({ msP50: 100, msP99: 198, msMax: 200 })
  expect(spread('ms', [5])).toEqual({ msP50: 5, msP99: 5, msMax: 5 })
})
