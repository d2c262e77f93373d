/** A worker: builds what the service was asked for. Start several of it, and they share the work. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createListener, type HandlerContext, Reject } from '@notify/core'
import { rabbit } from '@notify/rabbit'
import type { Events, Instance } from './events.ts'

const url = process.argv[2] ?? process.env.RABBIT_URL ?? 'amqp://127.0.0.1'
const IMAGES = ['debian', 'fedora']

const listener = createListener<Events>({
  driver: rabbit({ url }),
  topics: [process.env.TOPIC ?? 'compute'],
  handlers: [
    {
      event_type: 'instance.requested',
      priorities: ['INFO'],
      handle: ({ payload }, context) => build(payload, context),
    },
    {
      event_type: 'instance.deleted',
      priorities: ['AUDIT'],
      handle: ({ payload }) => console.log(`${payload.name}: deleted, on record`),
    },
    {
      event_type: 'quota.*',
      priorities: ['ERROR', 'CRITICAL'],
      handle: ({ priority, event_type, payload }) => console.log(`${priority}: ${event_type}`, payload),
    },
  ],
  onFailure: ({ reason }) => console.log(`given up, and put to the dead letters: ${reason}`),
})

/**
 * To return is to acknowledge. To throw is to be run again, up to five times. `Reject` is to give up at once. It may
 * come twice, as when a worker dies: to build what is there already must change nothing.
 */
async function build(instance: Instance, { attempt, deliveries }: HandlerContext): Promise<void> {
  const { name, image } = instance
  if (!IMAGES.includes(image)) throw new Reject(`there is no image ${image}`)
  console.log(`${name}: attempt ${attempt}, delivery ${deliveries}`)
  await hypervisor(instance, attempt)
  console.log(`${name}: built`)
}

/** Stands for the real work: a millisecond for each megabyte, and busy when it is first asked for a database. */
async function hypervisor({ name, memory_mb }: Instance, attempt: number): Promise<void> {
  if (name.startsWith('db-') && attempt === 1) throw new Error('the hypervisor is busy')
  await sleep(memory_mb)
}

async function stop(): Promise<void> {
  // Handlers end, for 10 s at most; what was not begun goes back to the queue, for others or for later.
  const { received, acked, dead } = await listener.stop({ timeoutMs: 10_000 })
  console.log('stopped:', { received, acked, dead })
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

await listener.start()
console.log('ready')
