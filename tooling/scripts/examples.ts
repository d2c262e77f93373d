/**
 * `pnpm examples`: runs every `examples/<name>/main.ts` that has an `expected.txt` beside it, and compares what
 * it prints. `…` in a line of `expected.txt` stands for any run of characters. Names as arguments choose some.
 *
 * One that ends with 77 cannot run here, and says why on standard error: it is skipped.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { root } from './lib.ts'

const SKIPPED = 77

const chosen = process.argv.slice(2)
const home = join(root, 'examples')
const examples = (existsSync(home) ? readdirSync(home) : [])
  .filter((name) => existsSync(join(home, name, 'expected.txt')))
  .filter((name) => chosen.length === 0 || chosen.includes(name))

let failed = 0
for (const name of examples) {
  const { verdict, why } = attempt(join(home, name))
  console.log(`${verdict} ${name}`)
  if (why !== undefined) console.log(why.replace(/^/gm, '     '))
  if (verdict === 'FAIL') failed++
}
if (examples.length === 0) console.log('no example has an expected.txt')
if (failed > 0 || examples.length === 0) process.exitCode = 1

interface Outcome {
  readonly verdict: 'ok  ' | 'skip' | 'FAIL'
  readonly why?: string
}

function attempt(folder: string): Outcome {
  const env = { ...process.env, NO_COLOR: '1' }
  const result = spawnSync(process.execPath, ['main.ts'], {
    cwd: folder,
    env,
    encoding: 'utf8',
    // The first one that needs a broker may have to download it.
    timeout: 180_000,
  })
  if (result.error !== undefined) {
    return fail(`did not run to its end: ${result.error.message}\n${result.stdout}${result.stderr}`)
  }
  if (result.status === SKIPPED) return { verdict: 'skip', why: result.stderr.trimEnd() }
  if (result.status !== 0) {
    return fail(
      `ended with ${result.signal ?? `exit code ${result.status}`}\n${result.stdout}${result.stderr}`,
    )
  }
  const expected = lines(readFileSync(join(folder, 'expected.txt'), 'utf8'))
  const actual = lines(result.stdout)
  for (let at = 0; at < Math.max(expected.length, actual.length); at++) {
    const [want, got] = [expected[at], actual[at]]
    if (want !== undefined && got !== undefined && matches(want, got)) continue
    const context = `line ${at + 1}\n  expected: ${want ?? '(nothing more)'}\n  printed:  ${got ?? '(nothing more)'}`
    return fail(`${context}\nall that it printed:\n${actual.join('\n')}`)
  }
  return { verdict: 'ok  ' }
}

function fail(why: string): Outcome {
  return { verdict: 'FAIL', why }
}

function lines(text: string): string[] {
  return stripVTControlCharacters(text)
    .trimEnd()
    .split(/\r?\n/)
    .map((line) => line.trimEnd())
}

function matches(want: string, got: string): boolean {
  const pattern = want.split('…').map((part) => part.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
  return new RegExp(`^${pattern.join('.*')}$`).test(got)
}
