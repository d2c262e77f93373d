/** What the command line says, and the driver that follows from it. */
import { parseArgs } from 'node:util'
import type { Driver } from '@notify/core'
import { type MemoryDriver, memory } from '@notify/memory'

const HELP = `Usage: pnpm demo [--driver <name>] [--url <url>]

Watches this machine for some ten seconds. What is read off it goes through a broker to a listener, which
shows it.

  --driver <name>   memory (default), rabbit, nats, kafka or sqs
  --url <url>       where the broker is, such as amqp://localhost; memory has none
  --help            this text

Ends with 0 when all sums agree, with 1 when they do not, with 2 when it could not begin.`

/** How to make a driver that comes in a package of its own, and where its broker usually is. */
const TRANSPORTS: Readonly<Record<string, { url: string; options(url: string): object }>> = {
  rabbit: { url: 'amqp://localhost', options: (url) => ({ url }) },
  nats: { url: 'nats://localhost:4222', options: (url) => ({ servers: [url] }) },
  kafka: { url: 'localhost:9092', options: (url) => ({ brokers: [url] }) },
  sqs: { url: 'http://localhost:4566', options: (url) => ({ endpoint: url, region: 'us-east-1' }) },
}

export interface Transport {
  readonly driver: Driver
  readonly topic: string
  /** The driver again, where it is one whose broker can be made to go away. */
  readonly unplug?: MemoryDriver
}

/** Reads `--driver` and `--url`. What is wrong with them ends the program. */
export async function chooseTransport(): Promise<Transport> {
  const { driver: name = 'memory', url, help } = parse()
  if (help === true) {
    console.log(HELP)
    process.exit()
  }
  if (name === 'memory') {
    if (url !== undefined) quit('--driver memory lives in this process and takes no --url.')
    const driver = memory()
    return { driver, topic: 'notifications', unplug: driver }
  }
  const transport = Object.hasOwn(TRANSPORTS, name) ? TRANSPORTS[name] : undefined
  if (transport === undefined)
    quit(`There is no driver "${name}". There are memory, ${Object.keys(TRANSPORTS).join(', ')}.`)
  const factory = await load(name)
  try {
    // A topic of its own: on a broker that others use, their notifications are not ours to take.
    return { driver: factory(transport.options(url ?? transport.url)), topic: 'notify_demo' }
  } catch (error) {
    return quit((error as Error).message)
  }
}

function parse() {
  try {
    const options = {
      driver: { type: 'string' },
      url: { type: 'string' },
      help: { type: 'boolean' },
    } as const
    // `pnpm demo -- --help` hands the dashes on.
    const args = process.argv.slice(2).filter((arg) => arg !== '--')
    return parseArgs({ args, options }).values
  } catch (error) {
    return quit((error as Error).message)
  }
}

/** `@notify/rabbit` exports `rabbit`, and so do they all. */
async function load(name: string): Promise<(options: object) => Driver> {
  const specifier = `@notify/${name}`
  try {
    const module = await import(specifier)
    return module[name]
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' || !message.includes(specifier)) throw error
    return quit(
      `${specifier} is not installed. Get it with: npx pnpm@12 --dir examples/demo add ${specifier}`,
    )
  }
}

/** Ends a program that cannot begin. */
export function quit(message: string): never {
  console.error(`demo: ${message} (--help tells more)`)
  process.exit(2)
}
