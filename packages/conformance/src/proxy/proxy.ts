/**
 * A wire between a client and a broker, and all that can befall a wire. It knows no protocol: what is looked for
 * in the bytes is the caller's to say.
 *
 * @example
 * const proxy = await openProxy(broker)
 * const channel = await connectTo(proxy.address)
 * const eaten = proxy.down.cutBefore(BASIC_ACK)
 * channel.publish(…)
 * await eaten // the broker has the message, the client has no answer and no connection
 */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import { TLSSocket } from 'node:tls'
import type { Address } from '../harness.ts'
import { type Direction, Traffic } from './direction.ts'
import { Flow } from './flow.ts'
import { reservePorts } from './ports.ts'
import { seeded } from './random.ts'

export interface ProxyOptions {
  /** For all that is left to chance. Default: 1. */
  readonly seed?: number
  /** Clients speak TLS with the proxy, which shows them this. What is counted and changed is inside of it. */
  readonly tls?: Pick<SecureContextOptions, 'key' | 'cert'>
}

export interface TcpProxy extends AsyncDisposable {
  /** Where clients connect to. It stays the same. */
  readonly address: Address
  /** From clients to the broker. */
  readonly up: Direction
  /** From the broker to clients. */
  readonly down: Direction
  /** How many connections have come, ever. */
  readonly accepted: number
  /** How many are open, on either side. */
  readonly open: number
  /** How many of them the client has not ended. */
  readonly clients: number
  /** The same URL, through the proxy. */
  through(url: string): string
  /** Resets all connections, on both sides. */
  cut(): void
  /** Ends all connections in good order, on both sides: FIN, after what is under way. */
  finish(): void
  /**
   * From now on everything vanishes, and new connections are accepted and never answered. What vanished is gone
   * for good: connections that were open are silent until they are cut, also after `heal`.
   */
  blackHole(): void
  /** New connections go through again. */
  heal(): void
  /** New connections are refused, as by a machine on which nothing listens. */
  refuse(): Promise<void>
  /** And accepted again. */
  accept(): Promise<void>
  /** Resolves when nothing is open any more. */
  close(): Promise<void>
}

interface Link {
  readonly sockets: readonly Socket[]
  readonly flows: readonly Flow[]
}

const HOST = '127.0.0.1'

/** Opens a proxy before something that listens, or will. */
export async function openProxy(target: Address, { seed = 1, tls }: ProxyOptions = {}): Promise<TcpProxy> {
  const random = seeded(seed)
  const reserved = await reservePorts(1)
  const port = reserved.ports[0] as number
  const links = new Set<Link>()
  const pumpAll = (): void => {
    for (const { flows } of links) for (const flow of flows) flow.pump()
  }
  const up = new Traffic(random, pumpAll)
  const down = new Traffic(random, pumpAll)
  let accepted = 0
  let clients = 0
  let vanishing = false
  const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, admit)

  function admit(wire: Socket): void {
    accepted++
    clients++
    let over = false
    const end = (): void => {
      if (!over) clients--
      over = true
    }
    wire.once('end', end).once('close', end)
    if (vanishing) {
      wire.resume().on('error', () => {})
      register({ sockets: [wire], flows: [] })
      return
    }
    const client = tls === undefined ? wire : new TLSSocket(wire, { isServer: true, ...tls })
    const { host } = target
    const broker = connect({ host, port: target.port, allowHalfOpen: true, noDelay: true })
    const sockets = [wire, broker]
    const reset = (): void => sockets.forEach(cutOff)
    const flows = [
      new Flow(client, broker, up, accepted, reset),
      new Flow(broker, client, down, accepted, reset),
    ]
    register({ sockets, flows })
    broker.once('connect', () => client.resume())
  }

  /** Both sides are open until both are closed. */
  function register(link: Link): void {
    links.add(link)
    let left = link.sockets.length
    for (const socket of link.sockets) {
      socket.once('close', () => {
        if (--left > 0) return
        links.delete(link)
        for (const flow of link.flows) flow.stop()
      })
    }
  }

  async function listen(): Promise<void> {
    server.listen(port, HOST)
    await once(server, 'listening')
  }

  /** Stops listening, and leaves what is open. */
  function refuse(): Promise<void> {
    return new Promise((resolve) => {
      // It calls back when the last connection is closed, which is not what is waited for.
      server.close()
      setImmediate(resolve)
    })
  }

  function cut(): void {
    for (const { sockets } of links) sockets.forEach(cutOff)
  }

  async function close(): Promise<void> {
    if (server.listening) await refuse()
    const ends = [...links].flatMap(({ sockets }) => sockets).filter((socket) => !socket.closed)
    const closed = ends.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of ends) socket.destroy()
    await Promise.all(closed)
    reserved.release()
  }

  await listen()
  return {
    address: { host: HOST, port },
    up,
    down,
    get accepted() {
      return accepted
    },
    get open() {
      return links.size
    },
    get clients() {
      return clients
    },
    through(url) {
      const copy = new URL(url)
      copy.hostname = HOST
      copy.port = String(port)
      return copy.href
    },
    cut,
    finish() {
      for (const { flows } of links) for (const flow of flows) flow.finish()
    },
    blackHole() {
      vanishing = true
      for (const { flows } of links) for (const flow of flows) flow.lose()
    },
    heal() {
      vanishing = false
    },
    refuse,
    accept: listen,
    close,
    [Symbol.asyncDispose]: close,
  }
}

function cutOff(socket: Socket): void {
  // One that is not connected yet has nothing to reset.
  if (socket.connecting) socket.destroy()
  else socket.resetAndDestroy()
}
