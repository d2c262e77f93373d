import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'

const HOST = '127.0.0.1'
const LOWEST = 10_000

export interface Ports {
  readonly ports: readonly number[]
  /** Lets others have them. */
  release(): void
}

/**
 * Ports that nobody else takes until they are released, though nothing may listen on them for a while: a broker
 * that was killed comes back to the same one.
 *
 * They lie below those that the system hands out by itself. On such a one, a client that keeps trying to reach a
 * broker that is down ends up connected to itself, and the broker cannot come back. Others who ask here are kept
 * away by the UDP socket of the same number, which brokers do not use and the system closes when the process
 * ends.
 */
export async function reservePorts(count: number): Promise<Ports> {
  const holders: Socket[] = []
  const ports: number[] = []
  const most = highest()
  for (let tries = 0; ports.length < count; tries++) {
    if (tries > 500) throw new Error(`no ${count} free ports between ${LOWEST} and ${most}`)
    const port = LOWEST + Math.floor(Math.random() * (most - LOWEST))
    const holder = await hold(port)
    if (holder === undefined) continue
    if (await isFree(port)) {
      holders.push(holder)
      ports.push(port)
    } else holder.close()
  }
  return {
    ports,
    release() {
      for (const holder of holders.splice(0)) holder.close()
    },
  }
}

async function hold(port: number): Promise<Socket | undefined> {
  const socket = createSocket('udp4')
  socket.unref()
  try {
    socket.bind({ port, address: HOST, exclusive: true })
    await once(socket, 'listening')
    return socket
  } catch {
    socket.close()
    return undefined
  }
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer()
  try {
    server.listen(port, HOST)
    await once(server, 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

/** The last port that the system does not hand out by itself. */
function highest(): number {
  try {
    const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    const first = Number.parseInt(range, 10)
    if (first > LOWEST + 1_000) return first - 1
  } catch {
    // Not Linux: its usual range is as good a guess as any.
  }
  return 32_767
}
