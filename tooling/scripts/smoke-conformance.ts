/**
 * The suite as a driver's author has it: from the packed packages, in a project of its own, under vitest, under
 * node:test and under no runner at all, with the same verdicts.
 */
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { join } from 'node:path'
import { bin, root, run } from './lib.ts'

const SEED = 7
/** What stands in for a driver's own package is the one that has been installed. */
const HARNESS = 'packages/memory/test/harness.ts'

const COLLECT = `
import { writeFileSync } from 'node:fs'
const results = []
export const onResult = ({ id, status }) => {
  results.push({ id, status })
  writeFileSync(process.env.RESULTS, JSON.stringify(results))
}
`
const NODE_TEST = `
import { after, describe, test } from 'node:test'
import { register } from '@notify/conformance'
import { onResult } from './collect.js'
import load from './harness.js'
register({ describe, test, after })(load, { seed: ${SEED}, onResult })
`
const VITEST = NODE_TEST.replace(
  `after, describe, test } from 'node:test'`,
  `afterAll, describe, test } from 'vitest'`,
).replace('{ describe, test, after }', '{ describe, test, afterAll }')

interface Verdict {
  readonly id: string
  readonly status: string
}

/** Throws where the runners disagree, or a case fails. Gives how many cases there were. */
export function checkRunners(project: string, node: string): number {
  const typed = readFileSync(join(root, HARNESS), 'utf8')
  const harness = stripTypeScriptTypes(typed)
    .replace("'../src/index.ts'", "'@notify/memory'")
    .replace("'../package.json'", "'@notify/memory/package.json'")
  const write = (file: string, text: string) => writeFileSync(join(project, file), text)
  write('harness.js', harness)
  write('collect.js', COLLECT)
  write('node.test.js', NODE_TEST)
  write('vitest.test.js', VITEST)
  symlinkSync(join(root, 'node_modules/vitest'), join(project, 'node_modules/vitest'))

  const report = join(project, 'report.json')
  const command = join(project, 'node_modules/.bin/conformance')
  run(node, [command, 'run', 'harness.js', '--seed', String(SEED), '--report', report], project)
  const alone = (JSON.parse(readFileSync(report, 'utf8')) as { cases: Verdict[] }).cases

  const env = (name: string) => ({ ...process.env, RESULTS: join(project, `${name}.json`) })
  run(node, ['--test', 'node.test.js'], project, env('node'))
  run(bin('vitest'), ['run', '--root', project, 'vitest.test.js'], project, env('vitest'))
  for (const runner of ['node', 'vitest']) {
    const verdicts = JSON.parse(readFileSync(join(project, `${runner}.json`), 'utf8')) as Verdict[]
    if (text(verdicts) !== text(alone))
      throw new Error(`${runner} finds\n${text(verdicts)}\nand no runner\n${text(alone)}`)
  }
  return alone.length
}

function text(verdicts: readonly Verdict[]): string {
  return verdicts.map(({ id, status }) => `${id} ${status}`).join('\n')
}
