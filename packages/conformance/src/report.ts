import { readFileSync } from 'node:fs'
import type { Case, Result } from './case.ts'
import type { Facts } from './conformance.ts'

/** What a run has found, as plain data with its keys in a fixed order. What matters is in `cases`. */
export interface Report {
  readonly suite: string
  readonly driver: { readonly package: string; readonly version: string; readonly name: string }
  readonly broker: { readonly name: string; readonly version: string }
  readonly runtime: string
  readonly capabilities: Facts['capabilities']
  readonly seed: number
  /** How long was waited for something, and for nothing. In milliseconds. */
  readonly times: { readonly deliverMs: number; readonly quietMs: number }
  /** The command that repeats it. */
  readonly command: string
  /** Whether all cases were run, none failed or broke, and something passed. */
  readonly conformant: boolean
  readonly counts: Readonly<Record<Result['status'], number>>
  readonly cases: readonly ReportedCase[]
}

interface ReportedCase extends Pick<Result, 'id' | 'status' | 'evidence' | 'reason'> {
  readonly title: string
}

/** Puts the results of a run together; a case without one was skipped. `command` repeats it, but for its seed. */
export function report(
  cases: readonly Case[],
  results: readonly Result[],
  facts: Facts,
  command = 'npx @notify/conformance run harness.js',
): Report {
  const { driver, broker, capabilities, seed, times } = facts
  const counts = { pass: 0, fail: 0, unsupported: 0, blocked: 0, skipped: 0, error: 0 }
  const reported = cases.map(({ id, title }): ReportedCase => {
    const result = results.find((each) => each.id === id)
    const { status = 'skipped', evidence, reason } = result ?? {}
    counts[status]++
    return {
      id,
      title,
      status,
      ...(evidence === undefined ? {} : { evidence }),
      ...(reason === undefined ? {} : { reason }),
    }
  })
  return {
    suite: ownVersion(),
    driver: { package: driver.package, version: driver.version, name: driver.name },
    broker: { name: broker.name, version: broker.version },
    runtime: `Node ${process.versions.node}`,
    capabilities,
    seed,
    times: { deliverMs: Math.round(times.deliverMs), quietMs: Math.round(times.quietMs) },
    command: `${command} --seed ${seed}`,
    conformant: counts.fail === 0 && counts.error === 0 && counts.skipped === 0 && counts.pass > 0,
    counts,
    cases: reported,
  }
}

/** For people. */
export function toMarkdown(report: Report): string {
  const { driver, broker, suite, runtime, seed, counts, conformant, cases, command } = report
  const told = Object.entries(counts).filter(([, count]) => count > 0)
  const chosen = cases.filter(({ status }) => status !== 'skipped')
  const bad = counts.fail + counts.error > 0 || counts.pass === 0
  const verdict = conformant ? 'Conformant' : bad ? '**Not conformant**' : 'A part of the suite'
  const lines = [
    `# ${driver.package} ${driver.version}`,
    '',
    `${verdict}: ${told.map(([status, count]) => `${count} ${status}`).join(', ')}.`,
    '',
    `With ${broker.name} ${broker.version}, @notify/conformance ${suite}, ${runtime}, seed ${seed}. Repeat it with`,
    `\`${command}\`.`,
    '',
    '| case | | | what was proved |',
    '|---|---|---|---|',
    ...chosen.map(({ id, title, status, evidence, reason }) => {
      const why = status === 'pass' ? (evidence ?? '') : (reason ?? '')
      return `| ${id} | ${status === 'pass' ? 'pass' : `**${status}**`} | ${cell(why)} | ${cell(title)} |`
    }),
    '',
  ]
  return lines.join('\n')
}

function cell(text: string): string {
  const [line = ''] = text.split('\n')
  return line.replaceAll('|', '\\|').replaceAll('<', '&lt;')
}

function ownVersion(): string {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return manifest.version
}
