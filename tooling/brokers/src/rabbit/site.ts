import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { command } from '../command.ts'
import { eventually } from '../eventually.ts'
import type { Home } from '../home.ts'
import { launch } from '../process.ts'
import type { Installation } from './versions.ts'

/** What a broker's nodes have in common: folder, cookie, and one epmd, by which they find each other. */
export interface Site {
  readonly folder: string
  readonly installation: Installation
  readonly env: NodeJS.ProcessEnv
  readonly cookie: string
}

/** Settings of `rabbitmq.conf`. */
export type RabbitConfig = Readonly<Record<string, string | number | boolean>>

export function writeSite(
  home: Home,
  installation: Installation,
  epmdPort: number,
  config: RabbitConfig,
): Site {
  const folder = mkdtempSync(join(home.folder, 'rabbit-'))
  const cookie = randomUUID()
  const file = (name: string): string => join(folder, name)
  mkdirSync(file('conf.d'), { recursive: true })
  writeFileSync(file('.erlang.cookie'), cookie, { mode: 0o400 })
  writeFileSync(file('plugins'), '[].\n')
  writeFileSync(file('advanced.config'), '[].\n')
  const settings = Object.entries(config).map(([name, value]) => `${name} = ${value}\n`)
  writeFileSync(file('rabbitmq.conf'), settings.join(''))
  const env = {
    ...home.env,
    PATH: `${installation.erlang}:${process.env.PATH}`,
    LANG: 'C.UTF-8',
    HOME: folder,
    ERL_EPMD_PORT: String(epmdPort),
    ERL_EPMD_ADDRESS: '127.0.0.1',
    // Nothing of a RabbitMQ that is installed on the machine.
    RABBITMQ_CONF_ENV_FILE: '/dev/null',
    RABBITMQ_CONFIG_FILE: file('rabbitmq'),
    RABBITMQ_CONFIG_FILES: file('conf.d'),
    RABBITMQ_ADVANCED_CONFIG_FILE: file('advanced.config'),
    RABBITMQ_ENABLED_PLUGINS_FILE: file('plugins'),
    RABBITMQ_MNESIA_BASE: file('data'),
    RABBITMQ_LOG_BASE: file('log'),
    // Makes the script become the server, so that its exit is the server's.
    RUNNING_UNDER_SYSTEMD: 'true',
    // Idle schedulers sleep: a broker beside a test must not take its processor.
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      '+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}',
    RABBITMQ_CTL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
  }
  return { folder, installation, env, cookie }
}

/**
 * In the foreground, and before any node: one that finds none starts a daemon. It has the marks of the site, so
 * it ends with it.
 */
export async function startEpmd({ installation, folder, env }: Site, port: number): Promise<void> {
  const args = ['-port', String(port), '-address', '127.0.0.1']
  const log = join(folder, 'epmd.out')
  const epmd = await launch(join(installation.erlang, 'epmd'), args, { env, cwd: folder, log })
  await eventually(() => !epmd.running || accepts(port), { withinMs: 20_000, what: 'epmd listens' })
  if (!epmd.running) throw new Error(`epmd ended: ${readFileSync(log, 'utf8')}`)
}

async function accepts(port: number): Promise<true> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } finally {
    socket.destroy()
  }
}

/** `rabbitmqctl`: half a second of processor time. */
export function ctl({ installation, env }: Site, node: string, args: readonly string[]): Promise<string> {
  const program = join(installation.server, 'rabbitmqctl')
  return command(program, ['--quiet', ...args], { env: { ...env, RABBITMQ_NODENAME: node } })
}

/** Calls a function in the server, in a few milliseconds: `call(site, node, 'erlang', 'nodes', '[]')`. */
export function call(
  { installation, env, cookie }: Site,
  node: string,
  module: string,
  name: string,
  args: string,
): Promise<string> {
  const call = ['-c', cookie, '-n', node, '-timeout', '10', '-a', `${module} ${name} ${args}`]
  return command(join(installation.erlang, 'erl_call'), call, { env })
}

/** Evaluates an expression in the server, and gives what it comes to: `{ok, 2}`. */
export function evaluate({ installation, env, cookie }: Site, node: string, input: string): Promise<string> {
  const args = ['-c', cookie, '-n', node, '-timeout', '10', '-e']
  return command(join(installation.erlang, 'erl_call'), args, { env, input: `${input}\n` })
}
