/**
 * `pnpm examples`: runs every `examples/<name>/main.ts` that has an `expected.txt` beside it, and compares what
 * it prints. `…` in a line of `expected.txt` stands for any run of characters. Names as arguments choose some.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { root } from './lib.ts'

const chosen = process.argv.slice(2)
const home = join(root, 'examples')
const examples = (existsSync(home) ? readdirSync(home) : [])
  .filter((name) => existsSync(join(home, name, 'expected.txt')))
  .filter((name) => chosen.length === 0 || chosen.includes(name))

let failed = 0
for (const name of examples) {
  const trouble = attempt(join(home, name))
  console.log(`${trouble === undefined ? 'ok  ' : 'FAIL'} ${name}`)
  if (trouble === undefined) continue
  failed++
  console.log(trouble.replace(/^/gm, '     '))
}
if (examples.length === 0) console.log('no example has an expected.txt')
if (failed > 0 || examples.length === 0) process.exitCode = 1

/** What went wrong, or `undefined`. */
function attempt(folder: string): string | undefined {
  const env = { ...process.env, NO_COLOR: '1' }
  const result = spawnSync(process.execPath, ['main.ts'], {
    cwd: folder,
    env,
    encoding: 'utf8',
    timeout: 60_000,
  })
  if (result.error !== undefined) return `did not run to its end: ${result.error.message}\n${result.stdout}`
  if (result.status !== 0) {
    return `ended with ${result.signal ?? `exit code ${result.status}`}\n${result.stdout}${result.stderr}`
  }
  const expected = lines(readFileSync(join(folder, 'expected.txt'), 'utf8'))
  const actual = lines(result.stdout)
  for (let at = 0; at < Math.max(expected.length, actual.length); at++) {
    const [want, got] = [expected[at], actual[at]]
    if (want !== undefined && got !== undefined && matches(want, got)) continue
    const context = `line ${at + 1}\n  expected: ${want ?? '(nothing more)'}\n  printed:  ${got ?? '(nothing more)'}`
    return `${context}\nall that it printed:\n${actual.join('\n')}`
  }
  return undefined
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
