/**
 * RabbitMQ: found by `NOTIFY_RABBIT_URL` or on its usual port, or started from Debian's packages.
 *
 * @module
 */

import { reservePorts } from '@notify/conformance/proxy'
import type { OwnBroker } from '../broker.ts'
import { eventually } from '../eventually.ts'
import type { Home } from '../home.ts'
import { type RabbitFaults, rabbitFaults, WATERMARK } from './faults.ts'
import { type RabbitNode, startNode } from './node.ts'
import { call, ctl, evaluate, type RabbitConfig, type Site, startEpmd, writeSite } from './site.ts'
import { install, type RabbitVersion } from './versions.ts'

export interface RabbitOptions {
  /**
   * Default: what `NOTIFY_RABBIT_VERSION` says, or 4.0. The newest of these is what Debian's moving release has,
   * whatever that is now.
   */
  readonly version?: RabbitVersion
  /** One, or three for a cluster. Default: 1. */
  readonly nodes?: 1 | 3
  /** For `rabbitmq.conf`: `{ consumer_timeout: 2000 }`. */
  readonly config?: RabbitConfig
}

export interface RabbitBroker extends OwnBroker {
  readonly faults: RabbitFaults
  /** `rabbitmqctl`, on the first node that runs: `ctl('list_queues', 'name', 'leader')`. */
  ctl(...args: string[]): Promise<string>
  /** Resolves when every quorum queue has a leader that knows all it holds. `restart` waits for it. */
  settled(): Promise<void>
  /** The node that leads a quorum queue. */
  leader(queue: string): Promise<RabbitNode>
}

/** A leader answers when it has applied all that was committed. Until there is one, counts are too low. */
const SETTLED = `[
  {ok, _, _} = ra:consistent_query(amqqueue:get_pid(Queue), {erlang, is_tuple, []}, 5000) ||
  Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_quorum_queue
], settled.`

/** Starts one in a home that is opened when there is something to start, and ends when that is closed. */
export async function startRabbit(
  open: () => Promise<Home>,
  options: RabbitOptions = {},
): Promise<RabbitBroker> {
  const { version, nodes: count = 1, config = {} } = options
  const installation = await install(version)
  const home = await open()
  const names = Array.from({ length: count }, (_, index) => `rabbit${index + 1}@localhost`)
  const reserved = await reservePorts(1 + 2 * count)
  const [epmdPort, ...ports] = reserved.ports as [number, ...number[]]

  async function stop(): Promise<void> {
    await home.close()
    reserved.release()
  }

  try {
    const settings = { 'vm_memory_high_watermark.relative': WATERMARK, ...clusterOf(names), ...config }
    const site = writeSite(home, installation, epmdPort, settings)
    await startEpmd(site, epmdPort)
    const nodes = await Promise.all(
      names.map((name, index) => {
        const [port, distributionPort] = ports.slice(2 * index) as [number, number]
        return startNode(site, { name, port, distributionPort })
      }),
    )
    if (count > 1) await allTogether(site, names)
    return assemble(site, nodes, stop)
  } catch (error) {
    await stop()
    throw error
  }
}

function assemble(site: Site, nodes: readonly RabbitNode[], stop: () => Promise<void>): RabbitBroker {
  const [first] = nodes as [RabbitNode]
  async function all<T>(act: (node: RabbitNode) => Promise<T>): Promise<T> {
    const [result] = (await Promise.all(nodes.map(act))) as [T]
    return result
  }
  function running(): string {
    return (nodes.find((node) => node.pid !== undefined) ?? first).name
  }
  async function settled(): Promise<void> {
    await eventually(async () => (await evaluate(site, running(), SETTLED)) === '{ok, settled}', {
      withinMs: 60_000,
      what: 'every quorum queue answers',
    })
  }
  const run = (...args: string[]): Promise<string> => ctl(site, running(), args)
  return {
    name: 'rabbit',
    host: first.host,
    port: first.port,
    url: first.url,
    nodes,
    get version() {
      return first.version
    },
    get pid() {
      return first.pid
    },
    kill: () => all((node) => node.kill()),
    terminate: () => all((node) => node.terminate()),
    async restart() {
      const greeted = await Promise.all(nodes.map((node) => node.restart()))
      await settled()
      return Math.min(...greeted)
    },
    settled,
    pause: () => nodes.forEach((node) => void node.pause()),
    resume: () => nodes.forEach((node) => void node.resume()),
    stop,
    [Symbol.asyncDispose]: stop,
    ctl: run,
    faults: rabbitFaults(site, running),
    async leader(queue) {
      const list = await run('list_queues', '--formatter', 'json', 'name', 'leader')
      const queues = JSON.parse(list) as { name: string; leader: string }[]
      const name = queues.find((each) => each.name === queue)?.leader
      const node = nodes.find((each) => each.name === name)
      if (node === undefined) throw new Error(`nobody leads ${queue}: ${list}`)
      return node
    },
  }
}

/** By this, nodes that start together find each other. */
function clusterOf(names: readonly string[]): RabbitConfig {
  if (names.length === 1) return {}
  const key = 'cluster_formation.classic_config.nodes'
  return {
    'cluster_formation.peer_discovery_backend': 'classic_config',
    ...Object.fromEntries(names.map((name, index) => [`${key}.${index + 1}`, name])),
  }
}

async function allTogether(site: Site, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const others = names.filter((each) => each !== name)
    await eventually(
      async () => {
        const seen = await call(site, name, 'erlang', 'nodes', '[]')
        return others.every((other) => seen.includes(other))
      },
      { withinMs: 30_000, what: `${name} sees ${others}` },
    )
  }
}
