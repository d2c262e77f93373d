/**
 * Runs `service.ts` and `worker.ts` as they would run in production, each a process of its own, on a real RabbitMQ;
 * kills the worker at its work, and shows that nothing is lost.
 */
import { randomUUID } from 'node:crypto'
import { eventually, findOrStart, orSkip, rabbitOracle } from '@notify/brokers'
import { createListener, PRIORITIES } from '@notify/core'
import { rabbit } from '@notify/rabbit'
import type { Instance } from './events.ts'
import { Program } from './program.ts'

/** How `pnpm examples` tells an example that cannot run here from one that fails. */
const SKIPPED = 77

const broker = await orSkip({ skip }, findOrStart('rabbit'))
const oracle = rabbitOracle(broker.url)
// Names of its own: others may use the broker.
const topic = `example-${randomUUID().slice(0, 8)}`
const env = { RABBIT_URL: broker.url, TOPIC: topic, PORT: '0' }
const programs: Program[] = []
process.once('SIGTERM', () => process.exit(1))
process.once('SIGINT', () => process.exit(1))

try {
  const service = run('service')
  const api = (await service.says('listening on')).split(' ').at(-1) as string
  let worker = run('worker')
  await worker.says('ready')

  title('One is built, another one at the second attempt')
  await create(api, { name: 'web-1', image: 'debian', memory_mb: 64 })
  await worker.says('web-1: built')
  await create(api, { name: 'db-1', image: 'fedora', memory_mb: 64 })
  await worker.says('db-1: built')

  title('No attempt would help: given up at once')
  await create(api, { name: 'web-2', image: 'beos', memory_mb: 64 })
  await worker.says('given up')

  title('Other priorities, other handlers')
  await create(api, { name: 'huge-1', image: 'debian', memory_mb: 65_536 })
  await worker.says('CRITICAL')
  await remove(api, 'web-1')
  await worker.says('web-1: deleted')

  title('Killed at its work, and away while more is asked for')
  await create(api, { name: 'web-3', image: 'debian', memory_mb: 3_000 })
  await worker.says('web-3: attempt 1')
  await worker.kill()
  await eventually(async () => (await oracle.consumers(`${topic}.info`)) === 0, { withinMs: 20_000 })
  console.log('worker  is killed')
  await create(api, { name: 'web-4', image: 'debian', memory_mb: 64 })
  await create(api, { name: 'web-5', image: 'debian', memory_mb: 64 })

  title('Started again: nothing is lost')
  worker = run('worker')
  await worker.saysInAnyOrder(7)

  title('Told to stop at its work: it ends that first')
  await create(api, { name: 'web-6', image: 'debian', memory_mb: 500 })
  await worker.says('web-6: attempt 1')
  await worker.stop('stopped')
  await service.stop('closed')

  title('The dead letter is kept, and says why')
  await showDeadLetter()
} finally {
  for (const program of programs) await program.kill()
  await removeQueues()
  await broker.stop()
}

function run(name: string): Program {
  const program = new Program(name, env)
  programs.push(program)
  return program
}

async function create(api: string, instance: Instance): Promise<void> {
  const { status } = await fetch(`${api}/instances`, { method: 'POST', body: JSON.stringify(instance) })
  console.log(`POST ${instance.name}: ${status}`)
}

async function remove(api: string, name: string): Promise<void> {
  const { status } = await fetch(`${api}/instances/${name}`, { method: 'DELETE' })
  console.log(`DELETE ${name}: ${status}`)
}

async function showDeadLetter(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const undertaker = createListener({
    driver: rabbit({ url: broker.url }),
    topics: [`${topic}.dead`],
    handlers: [
      {
        priorities: ['INFO'],
        handle({ payload }, { headers }) {
          console.log(payload, JSON.parse(headers['notify-dead'] ?? '{}').reason)
          resolve()
        },
      },
    ],
  })
  await undertaker.start()
  await promise
  await undertaker.stop()
}

async function removeQueues(): Promise<void> {
  for (const name of [topic, `${topic}.dead`]) {
    for (const priority of PRIORITIES) await oracle.remove(`${name}.${priority.toLowerCase()}`)
  }
}

/** For `pnpm examples`: the reason stands last on standard error. */
function skip(reason: string): never {
  console.error(reason)
  process.exit(SKIPPED)
}

function title(text: string): void {
  console.log(`\n${text}`)
}
