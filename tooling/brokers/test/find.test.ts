import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, type TestContext, test, vi } from 'vitest'
import { findOrStart, requireBroker } from '../src/index.ts'
import { skipIfFound } from './support.ts'

afterEach(() => void vi.unstubAllEnvs())

/** Nothing to find, nothing in the cache, nothing to get it with. */
async function nowhere(context: TestContext): Promise<void> {
  await skipIfFound(context)
  const cache = mkdtempSync(join(tmpdir(), 'notify-cache-'))
  context.onTestFinished(() => rmSync(cache, { recursive: true }))
  const nothing = { NOTIFY_RABBIT_URL: '', NOTIFY_BROKERS_RUN: '', NOTIFY_CACHE: cache, PATH: '/nowhere' }
  for (const [name, value] of Object.entries(nothing)) vi.stubEnv(name, value)
  vi.stubEnv('CI', '')
  vi.stubEnv('NOTIFY_REQUIRE_BROKERS', '')
}

describe('a broker that cannot be had', () => {
  test('is an error that says why, and how to get one', async (context) => {
    await nowhere(context)
    await expect(findOrStart('rabbit')).rejects.toMatchObject({
      name: 'BrokerUnavailable',
      broker: 'RabbitMQ',
      message: expect.stringMatching(/^No RabbitMQ here: .*apt-get.* not found\. Set NOTIFY_RABBIT_URL/),
    })
  })

  test('skips a test, with that reason', async (context) => {
    await nowhere(context)
    const reasons: string[] = []
    const skip = (reason: string): never => {
      reasons.push(reason)
      throw new Error('skipped')
    }
    await expect(requireBroker({ ...context, skip } as TestContext, 'rabbit')).rejects.toThrow('skipped')
    expect(reasons).toEqual([expect.stringContaining('Set NOTIFY_RABBIT_URL')])
  })

  test.for(['CI=true', 'NOTIFY_REQUIRE_BROKERS=1'])('fails a test with %s', async (setting, context) => {
    await nowhere(context)
    const [name, value] = setting.split('=') as [string, string]
    vi.stubEnv(name, value)
    await expect(requireBroker(context, 'rabbit')).rejects.toMatchObject({ name: 'BrokerUnavailable' })
  })
})

test('a URL in the environment that does not answer is an error, without its password', async (context) => {
  const server = createServer((socket) => socket.destroy())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  context.onTestFinished(() => void server.close())
  const { port } = server.address() as { port: number }
  vi.stubEnv('NOTIFY_RABBIT_URL', `amqp://someone:secret@127.0.0.1:${port}`)
  const error = await findOrStart('rabbit').catch((reason: Error) => reason)
  expect(error).toMatchObject({ name: 'Error', message: expect.stringContaining(`127.0.0.1:${port}`) })
  expect(String(error)).not.toContain('secret')
})
