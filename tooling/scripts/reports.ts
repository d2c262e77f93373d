/** docs/conformance.md, from the reports of our own drivers in evidence/conformance. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Report } from '@notify/conformance'
import { root } from './lib.ts'

const DRIVERS = ['rabbit', 'memory', 'log', 'noop', 'acme']

/** What a run of the suite has found; the tests of the driver compare it with what they find. */
export function readReport(name: string): Report {
  return JSON.parse(readFileSync(join(root, `evidence/conformance/${name}.json`), 'utf8')) as Report
}

/** What a report comes to, failures included. */
export function tally({ counts }: Report): string {
  const parts = Object.entries(counts).filter(([status, count]) => count > 0 && status !== 'unsupported')
  return parts.map(([status, count]) => `${count} ${status}`).join(', ')
}

export function conformancePage(): string {
  const reports = DRIVERS.map((name) => ({ name, report: readReport(name) }))
  const head = ['case', ...reports.map(({ name }) => name), 'what a driver must do']
  const rows = readReport('rabbit').cases.map(({ id, title }) => [
    id,
    ...reports.map(({ report }) => mark(report.cases.find((each) => each.id === id)?.status)),
    title.replaceAll('|', '\\|').replaceAll('<', '&lt;'),
  ])
  const brokers = reports.map(
    ({ name, report: { broker, runtime } }) => `${name} with ${broker.name} ${broker.version}, ${runtime}`,
  )
  return `${[
    '# Conformance',
    '',
    'What the conformance suite has found about the drivers in this repository; `acme` is the template that new ones',
    'start from. Made by `pnpm readme` from [evidence/conformance](../evidence/conformance), where the reasons are. Each',
    "driver's own tests run the suite, and fail where a status differs from this page.",
    '',
    '`·`: its capabilities rule it out. `blocked`: what the proof takes cannot be had there, such as a process to kill.',
    '',
    `${brokers.join('; ')}.`,
    '',
    ...[head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n')}\n`
}

function mark(status: string | undefined): string {
  if (status === 'pass') return 'pass'
  return status === 'unsupported' ? '·' : `**${status ?? 'missing'}**`
}
