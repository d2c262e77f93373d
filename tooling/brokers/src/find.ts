import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Broker } from './broker.ts'
import { type Home, homeOfRun, openHome, RUN } from './home.ts'
import { locked } from './lock.ts'
import { versionAt } from './rabbit/find.ts'
import { type RabbitBroker, type RabbitOptions, startRabbit } from './rabbit/index.ts'
import { install } from './rabbit/versions.ts'

/** The brokers that there are, by name: how one is started, and what it is then. */
export interface Brokers {
  rabbit: { options: RabbitOptions; own: RabbitBroker }
}

export type BrokerName = keyof Brokers

interface Kind<N extends BrokerName> {
  /** The variable in which the environment names one. */
  readonly variable: string
  /** Where one runs that was installed by hand. */
  readonly usualUrl: string
  versionAt(url: string): Promise<string>
  /** Downloads what `start` needs, if it is not there. */
  install(): Promise<unknown>
  start(open: () => Promise<Home>, options?: Brokers[N]['options']): Promise<Brokers[N]['own']>
}

const KINDS: { readonly [N in BrokerName]: Kind<N> } = {
  rabbit: {
    variable: 'NOTIFY_RABBIT_URL',
    usualUrl: 'amqp://guest:guest@127.0.0.1:5672',
    versionAt,
    install: () => install(),
    start: startRabbit,
  },
}

/** Starts a broker for the caller alone. It ends with `stop`, or with this process, however that ends. */
export async function start<N extends BrokerName>(
  name: N,
  options?: Brokers[N]['options'],
): Promise<Brokers[N]['own']> {
  return await KINDS[name].start(openHome, options)
}

/**
 * A broker for what breaks nothing: the one that the environment names, or one on the usual port, or one that
 * all processes of this run share and the first of them starts; outside a run, one for this process.
 *
 * @throws BrokerUnavailable if there is none and none can be started. A URL in the environment that does not
 * answer is an error like any other.
 */
export async function findOrStart(name: BrokerName): Promise<Broker> {
  const { variable, usualUrl } = KINDS[name]
  const url = process.env[variable]
  if (url) return await look(name, url)
  const usual = await look(name, usualUrl).catch(() => undefined)
  if (usual !== undefined) return usual
  return process.env[RUN] ? await shared(name, process.env[RUN]) : await start(name)
}

/** Downloads what `start` will need, so that no test has to wait for it. */
export async function prepare(name: BrokerName): Promise<void> {
  await KINDS[name].install()
}

async function look(name: BrokerName, url: string): Promise<Broker> {
  const version = await KINDS[name].versionAt(url).catch((cause) => {
    throw new Error(`${name} at ${withoutPassword(url)}: ${cause.message}`, { cause })
  })
  return describe(name, url, version)
}

/** The first process of the run that comes here starts it, and leaves a note for the others. */
async function shared(name: BrokerName, folder: string): Promise<Broker> {
  await prepare(name)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const note = join(folder, `${name}.json`)
  return await locked(join(folder, `${name}.lock`), async () => {
    if (!existsSync(note)) {
      const { url, version } = await KINDS[name].start(() => homeOfRun(folder))
      writeFileSync(note, JSON.stringify({ url, version }))
    }
    const { url, version } = JSON.parse(readFileSync(note, 'utf8')) as Broker
    return describe(name, url, version)
  })
}

function describe(name: BrokerName, url: string, version: string): Broker {
  const { hostname, port } = new URL(url)
  const usual = new URL(KINDS[name].usualUrl).port
  const address = { host: hostname, port: Number(port || usual) }
  const stop = async (): Promise<void> => {}
  return { ...address, name, url, version, stop, [Symbol.asyncDispose]: stop }
}

function withoutPassword(url: string): string {
  const copy = new URL(url)
  copy.password = ''
  return copy.href
}
