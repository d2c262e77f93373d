import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, expect, type TestContext, test } from 'vitest'
import { command } from '../src/command.ts'
import { findOrStart } from '../src/find.ts'
import { RUN } from '../src/home.ts'
import { type Address, eventually, orSkip, requireBroker } from '../src/index.ts'
import { greet } from '../src/rabbit/greeting.ts'
import { install } from '../src/rabbit/versions.ts'
import { processesOf } from '../src/sweep.ts'
import { skipIfFound } from './support.ts'

const tags = ['broker']

describe('a broker', { tags }, () => {
  test('of a process that stops it leaves nothing; of one that is killed, neither', async (context) => {
    await orSkip(context, install())
    // What is in the cache is enough: through this, nothing can be fetched.
    const offline = { http_proxy: 'http://127.0.0.1:9', https_proxy: 'http://127.0.0.1:9' }
    const programs = [run(context, 'own.ts', offline), run(context, 'own.ts', offline)] as const
    const [stops, killed] = await Promise.all([owned(programs[0]), owned(programs[1])])
    for (const { folder, address } of [stops, killed]) {
      expect(await greet(address, 5_000)).toMatch(/^\d+\.\d+\.\d+$/)
      // The server, its helpers, epmd.
      expect(await listed(folder)).toContain('epmd')
      expect(processesOf(folder).length).toBeGreaterThan(2)
    }

    stops.program.stdin.write('stop\n')
    expect(await stops.program.ended).toEqual([0, null])
    expect([processesOf(stops.folder), existsSync(stops.folder)]).toEqual([[], false])
    await isGone(stops)

    killed.program.kill('SIGKILL')
    expect(await killed.program.ended).toEqual([null, 'SIGKILL'])
    await isGone(killed)
  })

  test('of a run is one for all its processes, outlives who started it, and ends with the run', async (context) => {
    await orSkip(context, install())
    await skipIfFound(context)
    const program = run(context, 'run.ts', { NOTIFY_RABBIT_URL: '' })
    const [one, two] = [await program.says(), await program.says()] as [{ url: string }, { url: string }]
    expect(two.url).toBe(one.url)
    const { folder } = (await program.says()) as { folder: string }
    const address = addressOf(one.url)
    expect(await greet(address, 5_000)).toMatch(/^\d+\.\d+\.\d+$/)
    program.kill('SIGKILL')
    await isGone({ folder, address })
  })

  test('of this run is the same each time, and not to be harmed', async (context) => {
    const broker = await requireBroker(context, 'rabbit')
    expect(await findOrStart('rabbit')).toMatchObject({ url: broker.url, version: broker.version })
    expect(broker).not.toHaveProperty('kill')
    expect(broker).not.toHaveProperty('faults')
    await broker.stop()
    expect(await greet(broker, 1_000)).toBe(broker.version)
  })
})

/** A program of `test/programs`, ended with the test, and what it says: JSON, line by line. */
function run(context: TestContext, name: string, env: NodeJS.ProcessEnv) {
  const program = spawn(process.execPath, [join(import.meta.dirname, 'programs', name)], {
    env: { ...process.env, [RUN]: '', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  context.onTestFinished(() => void program.kill('SIGKILL'))
  const lines = createInterface(program.stdout)[Symbol.asyncIterator]()
  return Object.assign(program, {
    ended: once(program, 'exit'),
    says: async (): Promise<unknown> => JSON.parse((await lines.next()).value ?? 'null'),
  })
}

async function owned(program: ReturnType<typeof run>) {
  const { pid, url } = (await program.says()) as { pid: number; url: string }
  const environment = await command('ps', ['eww', '-o', 'args=', '-p', String(pid)])
  const folder = /NOTIFY_BROKERS_HOME=(\S+)/.exec(environment)?.[1] ?? 'nowhere'
  return { program, folder, address: addressOf(url) }
}

/** No process, its guardian included, no folder, no port. */
async function isGone({ folder, address }: { folder: string; address: Address }): Promise<void> {
  await eventually(async () => !existsSync(folder) && (await listed(folder)) === '', {
    what: 'the end of all',
  })
  expect(processesOf(folder)).toEqual([])
  await expect(greet(address, 1_000)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
}

/** What `ps` has of a folder's processes, the guardian included. */
async function listed(folder: string): Promise<string> {
  const all = await command('ps', ['axeww', '-o', 'pid=,args='])
  return all
    .split('\n')
    .filter((line) => line.includes(folder))
    .join('\n')
}

function addressOf(url: string): Address {
  const { hostname, port } = new URL(url)
  return { host: hostname, port: Number(port) }
}
