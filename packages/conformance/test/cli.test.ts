import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'

const CLI = join(import.meta.dirname, '../src/cli.ts')
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'notify-cli-'))
  const support = JSON.stringify(join(import.meta.dirname, 'support.ts'))
  const honest = `import { harness, scripted } from ${support}
const closed = { code: 'CLOSED', retryable: false, maybeSent: false, scope: 'transport' }
const driver = (open = true) => scripted({
  publish: (batch, settle) => batch.forEach((message) => void settle(message, open ? undefined : closed)),
  close: async () => void (open = false),
})
export default () => harness(() => driver())
`
  writeFileSync(join(folder, 'honest.mjs'), honest)
  const broken = `import { harness, scripted } from ${support}\nlet only\nexport default () => harness(() => (only ??= scripted()))\n`
  writeFileSync(join(folder, 'broken.mjs'), broken)
  writeFileSync(join(folder, 'nothing.mjs'), 'export const load = 1\n')
})
afterAll(() => rmSync(folder, { recursive: true }))

function run(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...args], {
    cwd: folder,
    encoding: 'utf8',
  })
  return { status, stdout, stderr }
}

test('0: the cases that were chosen pass; the report is of a part', () => {
  const { status, stdout } = run(
    'run',
    'honest.mjs',
    '--only',
    'LIF-01',
    '--seed',
    '5',
    '--report',
    'r.json',
    '--md',
    'r.md',
  )
  expect(status, stdout).toBe(0)
  expect(stdout).toMatch(/^seed 5\npass +LIF-01 /)
  const report = JSON.parse(readFileSync(join(folder, 'r.json'), 'utf8'))
  expect(report).toMatchObject({ conformant: false, counts: { pass: 1, fail: 0 } })
  expect(report.command).toBe("npx @notify/conformance run honest.mjs --only 'LIF-01' --seed 5")
  const text = readFileSync(join(folder, 'r.md'), 'utf8')
  expect(text).toContain('A part of the suite: 1 pass')
  expect(text).not.toContain('**skipped**')
})

test('1: a case fails, and what was found is told', () => {
  const { status, stdout } = run('run', 'broken.mjs', '--only', 'LIF-01')
  expect(status, stdout).toBe(1)
  expect(stdout).toMatch(/fail +LIF-01 .*\n +the factory gives a new driver each time/)
})

test.each([
  ['nothing runs', ['run', 'honest.mjs', '--only', 'NO-*'], 'no case has such an id'],
  ['there is no harness', ['run', 'missing.mjs'], 'missing.mjs cannot be loaded'],
  ['the module gives none', ['run', 'nothing.mjs'], 'has no default export'],
  ['an option is unknown', ['run', 'honest.mjs', '--bogus'], 'Usage:'],
  ['a number is none', ['run', 'honest.mjs', '--seed', 'x'], '--seed must be a whole number'],
  [
    'it is to run no time at all',
    ['run', 'honest.mjs', '--repeat', '0'],
    '--repeat must be a whole number of at least 1',
  ],
  [
    'the report cannot be written',
    ['run', 'honest.mjs', '--only', 'LIF-01', '--report', 'no/such/folder.json'],
    'no/such/folder.json cannot be written',
  ],
])('2: %s', (_, args, message) => {
  const { status, stdout, stderr } = run(...args)
  expect(status, stdout).toBe(2)
  expect(stderr).toContain(message)
})
