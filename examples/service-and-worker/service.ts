/** A service: an HTTP API for instances. It builds none itself: it tells what was asked for. */
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { createNotifier } from '@notify/core'
import { rabbit } from '@notify/rabbit'
import type { Events, Instance } from './events.ts'

const url = process.argv[2] ?? process.env.RABBIT_URL ?? 'amqp://127.0.0.1'
const QUOTA_MB = 16_384

const notifier = createNotifier<Events>({
  publisherId: 'api.host1',
  driver: rabbit({ url }),
  topics: [process.env.TOPIC ?? 'compute'],
})

/** 202 says that RabbitMQ has it: whatever becomes of this process or of the workers, it will be built. */
async function create(instance: Instance): Promise<number> {
  if (instance.memory_mb > QUOTA_MB) {
    // Floats: the request does not wait for it.
    notifier.critical('quota.exceeded', { ...instance, quota_mb: QUOTA_MB })
    return 403
  }
  await notifier.info('instance.requested', instance, { timeoutMs: 5_000 })
  return 202
}

/** An AUDIT never gives way in a full buffer. */
async function remove(name: string): Promise<number> {
  await notifier.audit('instance.deleted', { name }, { timeoutMs: 5_000 })
  return 204
}

async function answer(request: IncomingMessage): Promise<number> {
  const { method, url: path = '/' } = request
  if (method === 'DELETE') return await remove(path.slice('/instances/'.length))
  if (method !== 'POST') return 405
  const instance = (await json(request).catch(() => undefined)) as Instance | undefined
  return typeof instance?.memory_mb === 'number' ? await create(instance) : 400
}

const server = createServer(async (request, response) => {
  try {
    response.writeHead(await answer(request))
  } catch (error) {
    // The broker did not have it within five seconds.
    console.error(error)
    response.writeHead(503)
  }
  response.end()
})

async function stop(): Promise<void> {
  server.close()
  // Waits for what floats as well, at most 5 s.
  const { emitted, confirmed, failed } = await notifier.close()
  console.log('closed:', { emitted, confirmed, failed })
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
