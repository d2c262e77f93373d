/**
 * `pnpm test:soak`: promises that take more rounds than CI has time for.
 *
 * Without arguments it lists them. `pnpm test:soak rabbit-kills` runs one, or goes on with it: for 18 minutes at
 * most, or `--minutes m`. `--seed n` chooses the seed, `--rounds n` makes fewer or more rounds, `--round i --seed s`
 * repeats a single one. When all rounds are done it writes `evidence/<promise>.json`; `pnpm readme` makes
 * docs/evidence.md of that. Exits with 1 where a promise is broken, with 2 where a round proved nothing.
 */
import { globSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { SoakPromise } from './promise.ts'
import { type End, soak } from './runner.ts'

const root = join(import.meta.dirname, '../..')
const EXIT: Record<End, number> = { done: 0, stopped: 0, broken: 1, unproven: 2 }

const number = { type: 'string' } as const
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: number, seed: number, minutes: number, round: number },
})
const files = new Map(
  globSync(['packages/*/soak/*.ts', 'tooling/soak/promises/*.ts'], { cwd: root })
    .sort()
    .map((file) => [basename(file, '.ts'), join(root, file)]),
)
const [name] = positionals
if (name === undefined) {
  for (const file of files.values()) {
    const { name, rounds, title } = await load(file)
    console.log(`${name.padEnd(16)} ${String(rounds).padStart(4)} rounds  ${title}`)
  }
} else {
  const file = files.get(name)
  if (file === undefined || positionals.length > 1) fail(`no promise ${positionals.join(' ')}`)
  const only = whole('round')
  if (only !== undefined && values.seed === undefined) fail('--round needs the --seed that it was run with')
  const end: End = await soak(await load(file), {
    root,
    folder: join(dirname(file), '..'),
    seed: whole('seed'),
    rounds: whole('rounds'),
    minutes: whole('minutes') ?? 18,
    only,
    say: console.log,
  }).catch((error: Error) => {
    if (error.name !== 'Unproven') throw error
    console.log(error.message)
    return 'unproven'
  })
  process.exitCode = EXIT[end]
}

async function load(file: string): Promise<SoakPromise> {
  const { default: promise } = (await import(file)) as { default: SoakPromise }
  if (promise.name !== basename(file, '.ts')) throw new Error(`${file} calls itself ${promise.name}`)
  return promise
}

function whole(option: keyof typeof values): number | undefined {
  const text = values[option]
  if (text === undefined) return undefined
  if (!/^\d+$/.test(text)) fail(`--${option} takes a whole number`)
  return Number(text)
}

function fail(message: string): never {
  console.error(message)
  console.error(
    `usage: pnpm test:soak [${[...files.keys()].join(' | ')}] [--rounds n] [--seed n] [--minutes m]`,
  )
  process.exit(2)
}
