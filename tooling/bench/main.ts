/**
 * `pnpm bench`: what the library costs a program, in ratios. Exits with 1 where a ceiling is broken.
 *
 * `pnpm bench noop emit` runs parts of it; `--rounds 8` is quicker and less sure; `--save` writes
 * `evidence/bench.json`, from which the README has its figures.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Figure } from './figure.ts'
import { emitCost, loopDelay, memoryRate, noopCost } from './inprocess.ts'
import { critical, outage } from './situations.ts'

const PARTS: Record<string, (rounds: number) => Promise<Figure[]>> = {
  noop: noopCost,
  emit: emitCost,
  memory: memoryRate,
  outage,
  critical,
  delay: (rounds) => loopDelay(Math.min(rounds, 5)),
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

const saved: Record<string, string> = {}
const lines: string[] = []
console.log(`Node ${process.version}, ${rounds} rounds; medians, with quartiles\n`)
for (const [name, run] of Object.entries(PARTS)) {
  if (args.length > 0 && !args.includes(name)) continue
  for (const { what, ratio, unit, ceiling, id, sentence } of await run(rounds)) {
    const figure = `${show(ratio.median)}${unit && ` ${unit}`}`.padStart(12)
    const spread = `(${show(ratio.lower)} to ${show(ratio.upper)})`.padEnd(22)
    // A tenth of a ceiling of 0.5 is noise on a shared machine.
    const broken = ceiling !== undefined && ratio.median > ceiling + 0.05
    const verdict =
      ceiling === undefined ? '' : broken ? `ABOVE its ceiling of ${ceiling}` : `at most ${ceiling}`
    const line = `${figure}  ${spread} ${what}${verdict && `: ${verdict}`}`
    console.log(line)
    lines.push(line.trim())
    if (id !== undefined && sentence !== undefined) saved[id] = sentence
    if (broken) process.exitCode = 1
  }
}

if (save) {
  const root = join(import.meta.dirname, '../..')
  const file = join(root, 'evidence/bench.json')
  mkdirSync(join(root, 'evidence'), { recursive: true })
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim()
  const before =
    args.length === 0 ? {} : (JSON.parse(readFileSync(file, 'utf8')) as { figures: object }).figures
  const evidence = { commit, node: process.version, rounds, figures: { ...before, ...saved }, lines }
  writeFileSync(file, `${JSON.stringify(evidence, undefined, 2)}\n`)
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
