import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Report } from '../vitest/report.ts'

const LINES = 60

const root = join(import.meta.dirname, '../..')

/** Runs tests with other settings than CI does. Throws, with the end of what they printed, when one fails or none ran. */
export function runSuite(args: readonly string[], env: Readonly<Record<string, string | undefined>>): Report {
  const folder = mkdtempSync(join(tmpdir(), 'notify-soak-'))
  try {
    const file = join(folder, 'report.json')
    const reporter = `--reporter=${join(root, 'tooling/vitest/report.ts')}`
    const { status, signal, stdout, stderr } = spawnSync(
      join(root, 'node_modules/.bin/vitest'),
      ['run', '--reporter=default', reporter, ...args],
      {
        cwd: root,
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1', ...env, NOTIFY_TEST_REPORT: file },
        maxBuffer: 2 ** 28,
        timeout: 17 * 60_000,
        killSignal: 'SIGTERM',
      },
    )
    const said = `${stdout}${stderr}`.split('\n')
    const failed = said.filter((line) => /^\s*FAIL\s/.test(line))
    const end = [...failed, ...said.slice(-LINES)].join('\n')
    if (status !== 0) throw new Error(`vitest: ${signal ?? `exit code ${status}`}\n${end}`)
    const report = JSON.parse(readFileSync(file, 'utf8')) as Report
    if (report.passed === 0) throw new Error(`no test ran\n${end}`)
    return report
  } finally {
    rmSync(folder, { recursive: true })
  }
}
