#!/usr/bin/env node
/** `npx @notify/conformance run harness.js`: the suite without any test runner. */
import { writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import type { Case, Result } from './case.ts'
import { show } from './claims.ts'
import { conformance, type Suite } from './conformance.ts'
import type { Load } from './harness.ts'
import { Unhandled } from './process/unhandled.ts'
import { report, toMarkdown } from './report.ts'

const USAGE = `Usage: npx @notify/conformance run <harness> [options]

Runs the conformance suite of @notify against a driver. <harness> is a module whose default export makes a harness:
a .js file, or a .ts file on a Node that strips types (22.18 and later).

Options
  --only <pattern>    the cases whose ids match, such as 'CNF-*' or 'DEL-01,ACK-*'
  --seed <n>          repeats the chance of a run
  --repeat <n>        runs everything so many times, each with another seed
  --report <file>     writes the report of the last run as JSON
  --md <file>         and as Markdown
  --list              prints the cases, and runs nothing
  --help

Exit code
  0  conformant: nothing failed, and something passed
  1  a case failed
  2  nothing ran, or the harness or the suite broke, whatever else there was`

/** An exit code for each end. */
const CONFORMANT = 0
const BROKEN_PROMISE = 1
const BROKEN_RUN = 2

interface Options {
  readonly only: RegExp | undefined
  /** As it was given. */
  readonly pattern: string | undefined
  readonly seed: number | undefined
  readonly repeat: number
  readonly report: string | undefined
  readonly md: string | undefined
}

process.exitCode = await main(process.argv.slice(2))
// A driver that leaves something behind has been told so; it is not to keep the command from ending.
setTimeout(() => process.exit(), 2_000).unref()

async function main(args: readonly string[]): Promise<number> {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`)
    return BROKEN_RUN
  }
  const { values, positionals } = parsed
  if (values.help) {
    console.log(USAGE)
    return CONFORMANT
  }
  const [command, file] = positionals
  if (values.list) {
    for (const { id, title, needs } of conformance(noHarness))
      console.log(`${id}  ${title}  [${needs.join(' ')}]`)
    return CONFORMANT
  }
  if (command !== 'run' || file === undefined || positionals.length > 2) {
    console.error(USAGE)
    return BROKEN_RUN
  }
  const load = await importHarness(file)
  if (load === undefined) return BROKEN_RUN
  const options: Options = {
    only: values.only === undefined ? undefined : toPattern(values.only),
    pattern: values.only,
    seed: values.seed === undefined ? undefined : count('--seed', values.seed),
    repeat: values.repeat === undefined ? 1 : count('--repeat', values.repeat, 1),
    report: values.report,
    md: values.md,
  }
  let worst = CONFORMANT
  for (let index = 0; index < options.repeat; index++) {
    const seed = options.seed === undefined ? {} : { seed: options.seed + index }
    await using cases = conformance(load, seed)
    worst = Math.max(worst, await runAll(cases, file, options))
  }
  return worst
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      seed: { type: 'string' },
      repeat: { type: 'string' },
      report: { type: 'string' },
      md: { type: 'string' },
      list: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  })
}

async function runAll(cases: Suite, file: string, options: Options): Promise<number> {
  console.log(`seed ${cases.seed}`)
  const { only } = options
  const results: Result[] = []
  // Without a runner an error that nobody handles would end the process, and the report with it.
  using unhandled = new Unhandled()
  for (const each of cases) {
    const chosen = only === undefined || only.test(each.id)
    const result = withUnhandled(
      await each.run(chosen ? undefined : AbortSignal.abort()),
      unhandled.errors.splice(0),
    )
    results.push(result)
    if (chosen) print(each, result)
  }
  const ran = results.filter(({ status }) => status === 'pass' || status === 'fail')
  const broke = results.filter(({ status }) => status === 'error')
  if (results.every(({ status }) => status === 'skipped')) {
    console.error(only === undefined ? 'there are no cases' : 'no case has such an id')
    return BROKEN_RUN
  }
  // A harness that could not be loaded has told so with each case.
  if (ran.length === 0 && broke.length > 0) return BROKEN_RUN

  const part = options.pattern === undefined ? '' : ` --only '${options.pattern}'`
  const command = `npx @notify/conformance run ${file}${part}`
  const summary = report(cases, results, await cases.facts(), command)
  const { counts, times } = summary
  const parts = Object.entries(counts).filter(([, value]) => value > 0)
  console.log(`\n${parts.map(([status, value]) => `${value} ${status}`).join(', ')}`)
  console.log(`waited up to ${times.deliverMs} ms for something, ${times.quietMs} ms for nothing`)
  const written =
    write(options.report, `${JSON.stringify(summary, undefined, 2)}\n`) &&
    write(options.md, toMarkdown(summary))
  if (counts.fail > 0) console.log(`repeat it with: ${summary.command}`)
  if (counts.error > 0 || ran.length === 0 || !written) return BROKEN_RUN
  return counts.fail > 0 ? BROKEN_PROMISE : CONFORMANT
}

/** Whether it could be written. */
function write(file: string | undefined, text: string): boolean {
  try {
    if (file !== undefined) writeFileSync(file, text)
    return true
  } catch (error) {
    console.error(`${file} cannot be written: ${error instanceof Error ? error.message : error}`)
    return false
  }
}

/** A case that passed while an error was left unhandled has not. */
function withUnhandled(result: Result, [error]: readonly unknown[]): Result {
  if (error === undefined || result.status !== 'pass') return result
  return { ...result, status: 'fail', reason: `no error is left unhandled: ${show(error)}` }
}

function print({ title }: Case, { id, status, ms, reason, log }: Result): void {
  const why = reason === undefined || status === 'pass' ? '' : `\n          ${reason}`
  console.log(`${status.padEnd(11)} ${id}  ${title}  (${ms} ms)${why}`)
  if (status === 'fail' && log.length > 0) console.log(log.map((line) => `          ${line}`).join('\n'))
}

async function importHarness(file: string): Promise<Load | undefined> {
  try {
    const module = (await import(pathToFileURL(resolve(file)).href)) as { default?: unknown }
    if (typeof module.default === 'function') return module.default as Load
    console.error(`${file} has no default export that makes a harness: export default () => ({ ... })`)
  } catch (error) {
    console.error(`${file} cannot be loaded: ${error instanceof Error ? error.stack : error}`)
  }
  return undefined
}

function noHarness(): never {
  throw new Error('nothing is run')
}

/** `*` stands for anything, a comma is an or. */
function toPattern(text: string): RegExp {
  const parts = text.split(',').map((part) =>
    part
      .trim()
      .replace(/[^\w*-]/g, '')
      .replaceAll('*', '.*'),
  )
  return new RegExp(`^(?:${parts.join('|')})$`, 'i')
}

function count(option: string, text: string, least = 0): number {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  console.error(`${option} must be a whole number of at least ${least}, not ${text}`)
  process.exit(BROKEN_RUN)
}
