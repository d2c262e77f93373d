import type { Harness } from '@notify/conformance'
import manifest from '../package.json' with { type: 'json' }
import { noop } from '../src/index.ts'

/** Nothing lies behind it: no broker to look into, none to break. */
export default function load(): Harness {
  return {
    driver: { package: manifest.name, version: manifest.version },
    broker: { name: 'none', version: async () => manifest.version },
    url: import.meta.url,
    open: async () => noop(),
    async destination(topic, priority = 'INFO') {
      return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
    },
  }
}
