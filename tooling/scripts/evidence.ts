/** docs/evidence.md, from what `pnpm test:soak` has written to `evidence/`. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './lib.ts'

interface Evidence {
  readonly promise: string
  readonly title: string
  readonly commit: string
  /** What differed from the commit. */
  readonly changed?: string
  readonly date: string
  readonly versions: Readonly<Record<string, string>>
  readonly rounds: number
  readonly unproven: number
  readonly figures: Readonly<Record<string, string | number>>
  readonly durationMs: number
}

const HEAD = `# Evidence

What was run, how often, and what came of it. Made by \`pnpm readme\` from the files in [evidence/](../evidence), which
\`pnpm test:soak <promise>\` writes when all its rounds hold; it is run when a promise is touched. Of some, CI has a few
rounds: random programs, kills and cuts of one RabbitMQ. Of others it has none: clusters, other versions of RabbitMQ,
long repetitions. Behind a promise is its program, which says what is broken and how it is counted.

Times are those of one machine on one day; what is promised is that nothing is lost. A duplicate carries the
\`message_id\` of the first.
`

/** The page as it has to be. */
export function evidencePage(): string {
  const folder = join(root, 'evidence')
  const all = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .sort()
    .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Partial<Evidence>)
    .filter((each): each is Evidence => each.promise !== undefined)
  const head = ['promise', 'rounds', 'figures', 'versions', 'date, commit']
  const lines = [head, head.map(() => '---'), ...all.map(row)].map((cells) => `| ${cells.join(' | ')} |`)
  return `${HEAD}\n${lines.join('\n')}\n`
}

function row(evidence: Evidence): string[] {
  const { promise, title, commit, changed, date, versions, rounds, unproven, figures } = evidence
  const minutes = Math.max(1, Math.round(evidence.durationMs / 60_000))
  return [
    `**${title}** (${programOf(promise)})`,
    `${rounds} in ${minutes} min${unproven > 0 ? `, ${unproven} more proved nothing` : ''}`,
    Object.entries(figures)
      .map(([name, value]) => figure(name, value))
      .join('<br>'),
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join('<br>'),
    `${date}<br>${commit}${changed === undefined ? '' : ', with changes'}`,
  ]
}

function programOf(name: string): string {
  const packages = readdirSync(join(root, 'packages'))
  const owner = packages.find((each) => filesOf(`packages/${each}/soak`).includes(`${name}.ts`))
  const folder = owner === undefined ? 'tooling/soak/promises' : `packages/${owner}/soak`
  return `[\`${name}\`](../${folder}/${name}.ts)`
}

function filesOf(folder: string): string[] {
  try {
    return readdirSync(join(root, folder))
  } catch {
    return []
  }
}

/** `recoveryMsP99: 1208` is "recovery p99: 1,208 ms". */
function figure(name: string, value: string | number): string {
  const words = name.replace(/([a-z0-9])([A-Z])/g, '$1 $2').toLowerCase()
  const text = typeof value === 'number' ? value.toLocaleString('en') : value
  return / ms( |$)/.test(words) ? `${words.replace(/ ms( |$)/, '$1')}: ${text} ms` : `${words}: ${text}`
}
