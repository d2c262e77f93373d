import { type Oracle, type RabbitBroker, rabbitOracle, start } from '@notify/brokers'
import type { Faults, Harness } from '@notify/conformance'
import { connect } from 'amqplib'
import manifest from '../package.json' with { type: 'json' }
import { rabbit } from '../src/index.ts'
import { fill, publishRaw, toStored } from './foreign.ts'

/** Where the broker of this run is, for the child processes that load this module as well. */
const HANDED_DOWN = 'NOTIFY_CONFORMANCE_RABBIT'

/** A broker of its own, since cases kill it. */
export default async function load(): Promise<Harness> {
  const handedDown = process.env[HANDED_DOWN]
  const own = handedDown === undefined ? await start('rabbit') : undefined
  const url = handedDown ?? (own as RabbitBroker).url
  process.env[HANDED_DOWN] = url
  const { hostname, port } = new URL(url)
  const oracle = rabbitOracle(url)
  return {
    driver: { package: manifest.name, version: manifest.version },
    broker: {
      name: 'RabbitMQ',
      version: async () => own?.version ?? '',
      address: { host: hostname, port: Number(port) },
    },
    url: import.meta.url,
    async open({ address, topology = 'declare', password } = {}) {
      const target = new URL(url)
      if (address !== undefined) target.host = `${address.host}:${address.port}`
      if (password !== undefined) target.password = password
      return rabbit({ url: target.href, topology })
    },
    async destination(topic, priority = 'INFO') {
      return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
    },
    async read({ name }) {
      return {
        all: async () => ((await oracle.exists(name)) ? (await oracle.read(name)).map(toStored) : []),
        count: async () => ((await oracle.exists(name)) ? oracle.count(name) : 0),
        async consumers(group) {
          const queue = group === undefined ? name : `${name}@${group}`
          return (await oracle.exists(queue)) ? oracle.consumers(queue) : 0
        },
      }
    },
    inject: ({ name }, raw) => publishRaw(url, name, raw),
    async borrow() {
      const connection = await connect(url)
      // It outlives the broker.
      connection.on('error', () => {})
      const channel = await connection.createChannel()
      const isOpen = () =>
        channel.checkExchange('amq.topic').then(
          () => true,
          () => false,
        )
      return { driver: rabbit({ connection }), isOpen }
    },
    async dispose() {
      delete process.env[HANDED_DOWN]
      await own?.stop()
    },
    ...(own === undefined ? {} : { settleTopologyMs: 2_000, faults: faultsOf(own, oracle) }),
  }
}

function faultsOf(own: RabbitBroker, oracle: Oracle): Partial<Faults> {
  return {
    kill: async () => void (await own.kill()),
    start: async () => void (await own.restart()),
    pause: async () => own.pause(),
    resume: async () => own.resume(),
    block: () => own.faults.alarm(),
    unblock: () => own.faults.clearAlarm(),
    refuse: ({ name }) => fill(own, name),
    // 3.10 does not tell the consumers of a quorum queue that it is gone: see the README.
    ...(own.version.startsWith('3.') ? {} : { remove: ({ name }) => oracle.remove(name) }),
    cut: () => own.faults.closeConnections(),
  }
}
