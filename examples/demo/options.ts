/** What the command line says, and the driver that follows from it. */
import type { Driver } from '@notify/core'
import { type MemoryDriver, memory } from '@notify/memory'
import { parseArgs } from 'node:util'

const HELP = `Usage: pnpm demo [--driver <name>] [--url <url>]

Watches this machine for ten seconds and sends what it reads through a broker, to a listener that shows it.

  --driver   memory (default), rabbit, nats, kafka or sqs
  --url      where the broker is, such as amqp://localhost; memory needs none
  --help     this text

Exits with 0 when all sums agree, with 1 when they do not, with 2 when an option is wrong.`

/** The transports beside memory: where each factory takes its address, and what that looks like. */
const TRANSPORTS: Readonly<Record<string, { example: string; options(url: string): object }>> = {
  rabbit: { example: 'amqp://localhost', options: (url) => ({ url }) },
  nats: { example: 'nats://localhost:4222', options: (url) => ({ servers: url }) },
  kafka: { example: 'localhost:9092', options: (url) => ({ brokers: [url] }) },
  sqs: { example: 'http://localhost:4566', options: (url) => ({ endpoint: url }) },
}

/** Ends the program with one line that says what to do. */
class UsageError extends Error {}

/** The driver to use; or `undefined`, where all has been said. Sets the exit code. */
export async function chosenDriver(): Promise<Driver | MemoryDriver | undefined> {
  try {
    return await parse()
  } catch (error) {
    console.error(`demo: ${(error as Error).message}`)
    process.exitCode = 2
    return undefined
  }
}
