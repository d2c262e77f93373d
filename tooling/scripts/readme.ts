/**
 * `pnpm readme`: writes what the README says of drivers and figures from where it is true: the drivers' own
 * capabilities, and `evidence/bench.json`, which `pnpm bench --save` makes. Writes docs/evidence.md and
 * docs/conformance.md as well. `--check`
 * only compares, for CI, as it does that docs/errors.md has a section for each code.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Driver, ERROR_CODES } from '@notify/core'
import { log } from '@notify/log'
import { memory } from '@notify/memory'
import { noop } from '@notify/noop'
import { rabbit } from '@notify/rabbit'
import { evidencePage } from './evidence.ts'
import { root } from './lib.ts'
import { conformancePage, readReport, tally } from './reports.ts'

interface Row {
  readonly driver: Driver
  readonly what: string
}

const ROWS: readonly Row[] = [
  { driver: rabbit(), what: 'through RabbitMQ, quorum queues' },
  { driver: memory(), what: 'in the process: for tests, and for programs of one process' },
  { driver: log(), what: 'one line for each, to a logger or a stream' },
  { driver: noop(), what: 'nowhere: off' },
]

interface Evidence {
  readonly figures: Readonly<Record<string, string>>
}

const check = process.argv.includes('--check')
const faults: string[] = []

const file = join(root, 'README.md')
const readme = readFileSync(file, 'utf8')
let written = replace(readme, 'drivers', table(), '\n')
const evidence = join(root, 'evidence/bench.json')
if (!existsSync(evidence)) faults.push('evidence/bench.json is missing: run pnpm bench --save')
else {
  const { figures } = JSON.parse(readFileSync(evidence, 'utf8')) as Evidence
  for (const [name, sentence] of Object.entries(figures))
    written = replace(written, `figure:${name}`, sentence, '')
}
if (written !== readme) {
  if (check) faults.push('README.md is not what pnpm readme would write')
  else writeFileSync(file, written)
}

const pages = { 'docs/evidence.md': evidencePage(), 'docs/conformance.md': conformancePage() }
for (const [page, text] of Object.entries(pages)) {
  const place = join(root, page)
  if (existsSync(place) && readFileSync(place, 'utf8') === text) continue
  if (check) faults.push(`${page} is not what pnpm readme would write`)
  else writeFileSync(place, text)
}

const sections = [...readFileSync(join(root, 'docs/errors.md'), 'utf8').matchAll(/^## (.+)$/gm)].map(
  ([, title]) => title,
)
for (const code of ERROR_CODES)
  if (!sections.includes(code)) faults.push(`docs/errors.md has no section for ${code}`)
for (const title of sections) {
  if (!(ERROR_CODES as readonly unknown[]).includes(title))
    faults.push(`docs/errors.md explains ${title}, which is no code`)
}

for (const fault of faults) console.error(fault)
if (faults.length > 0) process.exitCode = 1
else console.log(check ? 'README and docs agree with the code' : 'README is up to date')

function table(): string {
  const lines = ROWS.map(({ driver: { name, capabilities: able }, what }) =>
    [
      `[\`@notify/${name}\`](packages/${name})`,
      what,
      able.discards
        ? 'discarded'
        : able.confirms === 'process'
          ? 'in this process'
          : `at the ${able.confirms}`,
      able.ordering === 'key' ? 'within a key, also in a batch' : able.discards ? '' : 'within a key',
      able.groups ? 'yes' : '',
      able.deliveryCount ? 'yes' : '',
      able.deduplication === false ? '' : `${able.deduplication.windowMs / 1_000} s`,
      `[${tally(readReport(name))}](docs/conformance.md)`,
    ].join(' | '),
  )
  const head = [
    'package',
    'notifications go',
    'a resolved emit is',
    'order',
    'groups',
    'counts deliveries',
    'deduplicates',
    'conformance cases',
  ]
  return [head.join(' | '), head.map(() => '---').join(' | '), ...lines]
    .map((line) => `| ${line} |`)
    .join('\n')
}

/** What stands between `<!-- name... -->` and `<!-- /name -->`, the part of the name before a colon. */
function replace(text: string, name: string, by: string, space: string): string {
  const marker = new RegExp(`(<!-- ${name}\\b[^>]*-->)[^]*?(<!-- /${name.split(':')[0]} -->)`)
  if (!marker.test(text)) {
    faults.push(`README.md has no place for ${name}`)
    return text
  }
  return text.replace(marker, (_, open: string, close: string) => `${open}${space}${by}${space}${close}`)
}
