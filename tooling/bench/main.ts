/**
 * `pnpm bench`: what the library costs a program, in ratios. Exits with 1 where one is worse than it may be.
 *
 * `pnpm bench noop emit` runs parts of it; `--rounds 8` is quicker and less sure; `--save` writes
 * `evidence/bench.json`, from which the README has its figures.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import type { Figure } from './figure.ts'
import { emitCost, loopDelay, memoryRate, noopCost } from './inprocess.ts'
import { rabbitRates } from './rabbit.ts'
import { critical, outage } from './situations.ts'

const PARTS: Record<string, (rounds: number) => Promise<Figure[]>> = {
  noop: noopCost,
  emit: emitCost,
  memory: memoryRate,
  outage,
  critical,
  delay: (rounds) => loopDelay(Math.min(rounds, 5)),
  rabbit: rabbitRates,
}

const args = process.argv.slice(2).filter((argument) => argument !== '--save')
const save = process.argv.includes('--save')
const at = args.indexOf('--rounds')
const rounds = at < 0 ? 24 : Number(args.splice(at, 2)[1])
const unknown = args.filter((name) => !Object.hasOwn(PARTS, name))
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`usage: pnpm bench [${Object.keys(PARTS).join('] [')}] [--rounds N] [--save]`)
  process.exit(2)
}

/** What one part has measured, and on what. */
interface Part {
  readonly commit: string
  readonly rounds: number
  /** The machine's load average of the last minute, before and after. */
  readonly load: readonly [number, number]
  readonly lines: readonly string[]
}

const root = join(import.meta.dirname, '../..')
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
const figures: Record<string, string> = {}
const parts: Record<string, Part> = {}
console.log(`Node ${process.version}, ${rounds} rounds; medians, with quartiles\n`)
for (const [name, run] of Object.entries(PARTS)) {
  if (args.length > 0 && !args.includes(name)) continue
  const before = load()
  const measured = await run(rounds)
  const lines = measured.map(toLine)
  for (const line of lines) console.log(line)
  for (const { id, sentence } of measured) {
    if (id !== undefined && sentence !== undefined) figures[id] = sentence
  }
  if (measured.some((figure) => verdictOf(figure).broken)) process.exitCode = 1
  if (lines.length > 0) {
    parts[name] = { commit, rounds, load: [before, load()], lines: lines.map((line) => line.trim()) }
  }
}

if (save) {
  const file = join(root, 'evidence/bench.json')
  mkdirSync(join(root, 'evidence'), { recursive: true })
  const old = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {}
  const evidence = {
    node: process.version,
    figures: { ...old.figures, ...figures },
    parts: { ...old.parts, ...parts },
  }
  writeFileSync(file, `${JSON.stringify(evidence, undefined, 2)}\n`)
}

function toLine(figure: Figure): string {
  const { what, ratio, unit } = figure
  const value = `${show(ratio.median)}${unit && ` ${unit}`}`.padStart(12)
  const spread = `(${show(ratio.lower)} to ${show(ratio.upper)})`.padEnd(22)
  const { words } = verdictOf(figure)
  return `${value}  ${spread} ${what}${words && `: ${words}`}`
}

/** A tenth of a ceiling of 0.5 is noise on a shared machine. */
function verdictOf({ ratio: { median }, ceiling, floor }: Figure): { broken: boolean; words: string } {
  if (ceiling !== undefined) {
    const broken = median > ceiling + 0.05
    return { broken, words: broken ? `ABOVE its ceiling of ${ceiling}` : `at most ${ceiling}` }
  }
  if (floor === undefined) return { broken: false, words: '' }
  const broken = median < floor - 0.05
  return { broken, words: broken ? `BELOW its floor of ${floor}` : `at least ${floor}` }
}

function load(): number {
  return Math.round((loadavg()[0] as number) * 10) / 10
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
