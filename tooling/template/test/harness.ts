import type { Faults, Harness } from '@notify/conformance'
import manifest from '../package.json' with { type: 'json' }
import { acme } from '../src/index.ts'
import { fromWire } from '../src/wire.ts'
import { ask, type Broker, startBroker } from './broker.ts'

/** Where the broker of this run is, for the child processes that load this module as well. */
const HANDED_DOWN = 'ACME_CONFORMANCE_PORT'
const PASSWORD = 'acme-conformance'

/** A broker of its own, since cases kill it. */
export default async function load(): Promise<Harness> {
  const handedDown = process.env[HANDED_DOWN]
  const own = handedDown === undefined ? await startBroker({ password: PASSWORD }) : undefined
  const broker = { host: '127.0.0.1', port: own?.port ?? Number(handedDown) }
  process.env[HANDED_DOWN] = String(broker.port)
  const tell = (request: Readonly<Record<string, unknown>>) => ask(broker, PASSWORD, request)
  const declare = (to: string) => tell({ do: 'declare', to, groups: [null] })

  return {
    driver: { package: manifest.name, version: manifest.version },
    broker: { name: 'acme', version: async () => manifest.version, address: broker },
    url: import.meta.url,
    open: async ({ address = broker, topology = 'declare', password = PASSWORD } = {}) =>
      acme({ ...address, topology, password }),
    async destination(topic, priority = 'INFO') {
      return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
    },
    read: async ({ name }) => ({
      async all() {
        const { messages = [] } = await tell({ do: 'list', to: name })
        return messages.map(fromWire)
      },
      count: async () => (await tell({ do: 'count', to: name })).count ?? 0,
      consumers: async (group) => (await tell({ do: 'consumers', to: name, group })).count ?? 0,
    }),
    async inject({ name }, { body, headers }) {
      await declare(name)
      const base64 = body === undefined ? {} : { body: Buffer.from(body).toString('base64') }
      await tell({ do: 'publish', to: name, message: { ...base64, headers } })
    },
    ...(own === undefined ? {} : { faults: faultsOf(own) }),
    async dispose() {
      delete process.env[HANDED_DOWN]
      await own?.stop()
    },
  }
}

function faultsOf({ kill, start, pause, resume, ask: tell }: Broker): Partial<Faults> {
  return {
    kill,
    start,
    pause: async () => pause(),
    resume: async () => resume(),
    block: async () => void (await tell({ do: 'block' })),
    unblock: async () => void (await tell({ do: 'unblock' })),
    async refuse({ name }) {
      await tell({ do: 'declare', to: name, groups: [null] })
      await tell({ do: 'limit', to: name, most: 0 })
    },
    remove: async ({ name }) => void (await tell({ do: 'remove', to: name })),
  }
}
