/**
 * `pnpm bench`: what the library costs a program, in ratios. Exits with 1 where a ceiling is broken.
 *
 * `pnpm bench noop emit` runs parts of it; `--rounds 8` is quicker and less sure.
 */
import { emitCost, type Figure, loopDelay, memoryRate, noopCost } from './inprocess.ts'

const PARTS: Record<string, (rounds: number) => Promise<Figure[]>> = {
  noop: noopCost,
  emit: emitCost,
  memory: memoryRate,
  delay: (rounds) => loopDelay(Math.min(rounds, 5)),
}

const args = process.argv.slice(2)
const at = args.indexOf('--rounds')
const rounds = at < 0 ? 24 : Number(args.splice(at, 2)[1])
const unknown = args.filter((name) => !Object.hasOwn(PARTS, name))
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1) {
  console.error(`usage: pnpm bench [${Object.keys(PARTS).join('] [')}] [--rounds N]`)
  process.exit(2)
}

console.log(`Node ${process.version}, ${rounds} rounds; medians, with quartiles\n`)
for (const [name, run] of Object.entries(PARTS)) {
  if (args.length > 0 && !args.includes(name)) continue
  for (const { what, ratio, unit, ceiling } of await run(rounds)) {
    const figure = `${show(ratio.median)}${unit && ` ${unit}`}`.padStart(12)
    const spread = `(${show(ratio.lower)} to ${show(ratio.upper)})`.padEnd(22)
    // A tenth of a ceiling of 0.5 is noise on a shared machine.
    const broken = ceiling !== undefined && ratio.median > ceiling + 0.05
    const verdict = ceiling === undefined ? '' : broken ? `ABOVE its ceiling of ${ceiling}` : `at most ${ceiling}`
    console.log(`${figure}  ${spread} ${what}${verdict && `: ${verdict}`}`)
    if (broken) process.exitCode = 1
  }
}

function show(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
