/**
 * The reports of our own drivers are committed, and the documentation's tables are made of them. A run of the suite
 * has to find what they say: `NOTIFY_SAVE_REPORTS=1` writes what it found instead.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { RegisterOptions, Report } from '../../packages/conformance/src/index.ts'

const FOLDER = join(import.meta.dirname, '../../evidence/conformance')

/** For `register(...)(load, committed('memory'))`. Statuses are compared, and nothing that differs between machines. */
export function committed(name: string): Required<Pick<RegisterOptions, 'onReport'>> {
  const file = join(FOLDER, `${name}.json`)
  return {
    onReport(report) {
      // A part of the suite says nothing about the whole.
      if (report.counts.skipped > 0) return
      if (process.env.NOTIFY_SAVE_REPORTS === '1') {
        mkdirSync(dirname(file), { recursive: true })
        writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
        return
      }
      const known = existsSync(file) ? statuses(JSON.parse(readFileSync(file, 'utf8')) as Report) : []
      const found = statuses(report)
      const drift = [
        ...found.filter((line) => !known.includes(line)).map((line) => `found ${line}`),
        ...known.filter((line) => !found.includes(line)).map((line) => `committed ${line}`),
      ]
      if (drift.length === 0) return
      throw new Error(`evidence/conformance/${name}.json is not what was found (${drift.join('; ')})`)
    },
  }
}

function statuses({ cases }: Report): string[] {
  return cases.map(({ id, status }) => `${id} ${status}`)
}
