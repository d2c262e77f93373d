import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BrokerNode, Exit } from '../broker.ts'
import { eventually } from '../eventually.ts'
import { launch, type Program } from '../process.ts'
import { greet } from './greeting.ts'
import type { Site } from './site.ts'

/** On a machine that does much else, with three nodes at once. */
const BOOT_MS = 90_000

export interface NodeOptions {
  readonly name: string
  readonly port: number
  /** Between nodes. */
  readonly distributionPort: number
}

export interface RabbitNode extends BrokerNode {
  /** What it said last. */
  readonly version: string
}

/** Starts a node, and resolves when it greets. */
export async function startNode(site: Site, options: NodeOptions): Promise<RabbitNode> {
  const { name, port, distributionPort } = options
  const address = { host: '127.0.0.1', port }
  const log = join(site.folder, `${name}.out`)
  const env = {
    ...site.env,
    RABBITMQ_NODENAME: name,
    RABBITMQ_NODE_IP_ADDRESS: address.host,
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distributionPort),
  }
  mkdirSync(join(site.folder, 'log'), { recursive: true })
  let program: Program | undefined
  let version = ''

  async function boot(): Promise<number> {
    const server = join(site.installation.server, 'rabbitmq-server')
    const started = await launch(server, [], { env, cwd: site.folder, log })
    program = started
    try {
      const greeting = (): string | Promise<string> => (started.running ? greet(address, 5_000) : '')
      version = await eventually(greeting, { withinMs: BOOT_MS, what: `${name} greets` })
      if (version === '') throw new Error(`${name} ended while it started`)
      return performance.now()
    } catch (cause) {
      await started.end('SIGKILL')
      throw new Error(`${(cause as Error).message}\n${tail(log)}`, { cause })
    }
  }

  function end(signal: NodeJS.Signals): Promise<Exit> {
    if (program === undefined) throw new Error(`${name} was never started`)
    return program.end(signal)
  }

  await boot()
  return {
    ...address,
    name,
    url: `amqp://guest:guest@${address.host}:${port}`,
    get version() {
      return version
    },
    get pid() {
      return program?.running === true ? program.pid : undefined
    },
    kill: () => end('SIGKILL'),
    terminate: () => end('SIGTERM'),
    async restart() {
      await end('SIGTERM')
      return await boot()
    },
    pause: () => program?.pause(),
    resume: () => program?.resume(),
  }
}

/** The last of what it printed. */
function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-30).join('\n')
}
