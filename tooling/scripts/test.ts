/**
 * `pnpm test`: every project's tests from source, and one closing line for people and machines:
 * `312 passed, 0 failed`. Arguments go to vitest (`pnpm test --project @notify/core -t 'promise'`).
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from '../vitest/report.ts'
import { bin, root } from './lib.ts'

const args = process.argv.slice(2)
if (args[0] === '--') args.shift()
/** A run that leaves tests out on purpose: its skips need no reason. */
const narrowed = args.some((arg) => /^(-t|--testNamePattern|--test-name-pattern|--tags-?filter)/i.test(arg))

const folder = mkdtempSync(join(tmpdir(), 'notify-test-'))
const file = join(folder, 'report.json')
const run = spawnSync(
  bin('vitest'),
  ['run', '--reporter=default', `--reporter=${join(root, 'tooling/vitest/report.ts')}`, ...args],
  { cwd: root, stdio: 'inherit', env: { ...process.env, NOTIFY_TEST_REPORT: file } },
)
const report = read(file)
rmSync(folder, { recursive: true })

const unexplained: string[] = []
if (report.skipped.length > 0 && !narrowed) {
  console.log(`\n${report.skipped.length} skipped:`)
  for (const { name, reason, todo } of report.skipped) {
    if (reason === undefined && !todo) unexplained.push(name)
    console.log(`  ${name}\n    ${reason ?? (todo ? 'to do' : 'NO REASON GIVEN: use context.skip(reason)')}`)
  }
} else if (report.skipped.length > 0) {
  console.log(`\n${report.skipped.length} left out by the filter`)
}

const troubles = report.errors.map((error) => `outside a test: ${error}`)
troubles.push(...unexplained.map((name) => `skipped without a reason: ${name}`))
if (report.interrupted) troubles.push('the run was interrupted')
if (report.passed + report.failed === 0 && troubles.length === 0) troubles.push('no test ran')
if (run.status !== 0 && report.failed === 0 && troubles.length === 0) {
  troubles.push(`vitest ended with ${run.signal ?? `exit code ${run.status}`}`)
}
for (const trouble of troubles) console.log(trouble)

const failed = report.failed + troubles.length
console.log(`\n${report.passed} passed, ${failed} failed`)
process.exitCode = failed > 0 ? 1 : 0

function read(path: string): Report {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report
  } catch {
    return { passed: 0, failed: 0, skipped: [], errors: [], interrupted: false }
  }
}
