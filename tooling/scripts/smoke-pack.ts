/**
 * `pnpm pack:smoke`: builds and packs what would be published, installs it with npm into an empty project, and
 * uses it there as a stranger would: `import`, `require()`, TypeScript.
 *
 * `--node <path>` loads the packages with another Node than the one that runs this script.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bin, type Package, publicPackages, readManifest, root, run } from './lib.ts'
import { checkRunners } from './smoke-conformance.ts'

const { values } = parseArgs({ options: { node: { type: 'string', default: process.execPath } } })
const node = values.node

const CONSUMER = `
import { createNotifier } from '@notify/core'
import { noop } from '@notify/noop'

const notifier = createNotifier({ publisherId: 'smoke.host1', driver: noop() })
await notifier.info('smoke.test', { attempt: 1 })
await notifier.close()
console.log('emitted')
`

const packages = publicPackages()
const temp = mkdtempSync(join(tmpdir(), 'notify-pack-'))
try {
  for (const { folder } of packages) rmSync(join(folder, 'dist'), { recursive: true, force: true })
  run(bin('tsc'), ['-b', ...packages.map(({ folder }) => folder)], root)

  const tarballs = packages.map((each) => pack(each))
  const project = join(temp, 'project')
  install(project, tarballs)

  console.log(`loaded with Node ${run(node, ['-p', 'process.versions.node'], project).trim()}`)
  for (const { name } of packages) {
    check(name, project)
    const imported = names(`import * as all from '${name}'`, 'module', project)
    const required = names(`const all = require('${name}')`, 'commonjs', project)
    if (imported !== required) throw new Error(`${name}: import has ${imported}, require has ${required}`)
    console.log(`  ${name}: ${imported}`)
  }

  compile(project)
  const said = run(node, [join(project, 'consumer.js')], project).trim()
  if (said !== 'emitted') throw new Error(`consumer.js printed '${said}'`)
  console.log('  a TypeScript program compiles and emits')
  const cases = checkRunners(project, node)
  console.log(
    `  the conformance suite: ${cases} cases, the same verdicts under vitest, node:test and no runner`,
  )
} catch (error) {
  console.log(error instanceof Error ? error.message : error)
  process.exitCode = 1
} finally {
  rmSync(temp, { recursive: true, force: true })
}

function pack({ name, folder }: Package): string {
  const into = join(temp, name.replace(/\W+/g, '-'))
  mkdirSync(into)
  const direct = spawnSync('pnpm', ['--version']).error === undefined
  const args = ['pack', '--pack-destination', into]
  if (direct) run('pnpm', args, folder)
  else run('npx', ['-y', 'pnpm@12', ...args], folder)
  const [tarball] = readdirSync(into)
  if (tarball === undefined) throw new Error(`${name}: nothing was packed`)
  return join(into, tarball)
}

function install(project: string, tarballs: readonly string[]): void {
  mkdirSync(project)
  writeFileSync(join(project, 'package.json'), '{ "name": "smoke", "private": true, "type": "module" }\n')
  // npm must not take this run for one inside the workspace.
  const env = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(npm|pnpm)_/i.test(key)))
  const quiet = ['--no-audit', '--no-fund', '--no-update-notifier', '--loglevel=error']
  run('npm', ['install', ...quiet, ...tarballs], project, env)
}

/** The installed files are whole, and nothing in them makes sense only inside the workspace. */
function check(name: string, project: string): void {
  const folder = join(project, 'node_modules', name)
  const text = readFileSync(join(folder, 'package.json'), 'utf8')
  for (const protocol of ['workspace:', 'catalog:']) {
    if (text.includes(protocol)) throw new Error(`${name}: '${protocol}' is left in package.json`)
  }
  const { exports = {}, bin: programs = {} } = readManifest(join(folder, 'package.json'))
  for (const target of [...targets(exports), ...targets(programs)]) {
    if (!existsSync(join(folder, target))) throw new Error(`${name}: exports ${target}, which is not packed`)
    if (target.endsWith('.ts') && !target.endsWith('.d.ts'))
      throw new Error(`${name}: exports the source ${target}`)
  }
  for (const file of ['dist/index.js', 'dist/index.d.ts', 'README.md', 'LICENSE']) {
    if (!existsSync(join(folder, file))) throw new Error(`${name}: ${file} is not packed`)
  }
  const stray = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    /\.tsbuildinfo$|^test\/|\.test\.ts$/.test(file),
  )
  if (stray.length > 0) throw new Error(`${name}: should not be packed: ${stray.join(', ')}`)
}

function targets(exported: unknown): string[] {
  if (typeof exported === 'string') return [exported]
  return Object.values(exported as object).flatMap(targets)
}

function names(load: string, type: 'module' | 'commonjs', cwd: string): string {
  const print = `console.log(Object.keys(all).filter((key) => key !== 'module.exports').sort().join(' '))`
  return run(node, [`--input-type=${type}`, '-e', `${load}; ${print}`], cwd).trim()
}

function compile(project: string): void {
  const typeRoots = [join(root, 'node_modules/@types')]
  const options = { module: 'nodenext', target: 'es2023', strict: true, types: ['node'], typeRoots }
  writeFileSync(join(project, 'consumer.ts'), CONSUMER)
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: { ...options, skipLibCheck: false }, files: ['consumer.ts'] }),
  )
  run(bin('tsc'), ['-p', project], project)
}
