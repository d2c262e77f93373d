import type { Harness } from '@notify/conformance'
import manifest from '../package.json' with { type: 'json' }
import { type Inbound, type MemoryDriver, memory, memoryBroker } from '../src/index.ts'

/** One broker in this process, with drivers that share it. */
export default function load(): Harness {
  const broker = memoryBroker()
  const drivers = new Set<MemoryDriver>()
  const each = async (act: (driver: MemoryDriver) => void): Promise<void> => drivers.forEach(act)

  return {
    driver: { package: manifest.name, version: manifest.version },
    broker: { name: 'memory', version: async () => manifest.version },
    url: import.meta.url,
    async open({ topology = 'declare' } = {}) {
      const driver = memory({ broker, topology })
      drivers.add(driver)
      return driver
    },
    async destination(topic, priority = 'INFO') {
      return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
    },
    async read({ name }) {
      return {
        all: async () => broker.messages(name),
        count: async () => broker.count(name),
        consumers: async (group) => broker.consumers(name, group),
      }
    },
    async inject(destination, raw) {
      broker.declare(destination.name)
      broker.put({ ...raw, destination } satisfies Inbound)
    },
    faults: {
      pause: () => each((driver) => driver.stall()),
      resume: () => each((driver) => driver.resume()),
      block: () => each((driver) => driver.block()),
      unblock: () => each((driver) => driver.unblock()),
      refuse: async ({ name }) => broker.refuse(name),
      remove: async ({ name }) => broker.remove(name),
      cut: () =>
        each((driver) => {
          driver.disconnect()
          driver.connect()
        }),
    },
  }
}
