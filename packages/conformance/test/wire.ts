import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'vitest'
import type { Address } from '../src/harness.ts'
import { openProxy, type ProxyOptions, type TcpProxy } from '../src/proxy/index.ts'
import { eventually } from './eventually.ts'

/** A server that says back what it hears, and keeps it. */
export interface Echo {
  readonly address: Address
  readonly heard: () => string
  /** How each of its connections ended. */
  readonly ends: readonly ('end' | 'reset')[]
  readonly open: () => number
}

export async function echo(context: TestContext): Promise<Echo> {
  const sockets = new Set<Socket>()
  const ends: ('end' | 'reset')[] = []
  let heard = ''
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('data', (data) => {
      heard += data.toString('latin1')
      socket.write(data)
    })
    socket.once('end', () => ends.push('end'))
    socket.once('error', () => ends.push('reset'))
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const { port } = server.address() as { port: number }
  return { address: { host: '127.0.0.1', port }, heard: () => heard, ends, open: () => sockets.size }
}

/** A client, what it got, in which pieces, and how it ended. */
export interface Client {
  readonly socket: Socket
  readonly pieces: readonly Buffer[]
  readonly text: () => string
  readonly ended: () => 'end' | 'reset' | undefined
  send(text: string): void
  /** Resolves when it got that many bytes. */
  gets(length: number, withinMs?: number): Promise<string>
}

export async function client(context: TestContext, { host, port }: Address): Promise<Client> {
  const socket = connect({ host, port, noDelay: true })
  const pieces: Buffer[] = []
  let ended: 'end' | 'reset' | undefined
  socket.on('data', (data) => pieces.push(data))
  socket.once('end', () => {
    ended = 'end'
  })
  socket.once('error', () => {
    ended = 'reset'
  })
  context.onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  const text = (): string => Buffer.concat(pieces).toString('latin1')
  return {
    socket,
    pieces,
    text,
    ended: () => ended,
    send: (data) => void socket.write(Buffer.from(data, 'latin1')),
    async gets(length, withinMs = 5_000) {
      await eventually(() => text().length >= length, { withinMs, what: `${length} bytes come` })
      return text()
    },
  }
}

/** A proxy before an echo, and a client that is connected through it. */
export async function wire(
  context: TestContext,
  options?: ProxyOptions,
): Promise<{ proxy: TcpProxy; server: Echo; user: Client }> {
  const server = await echo(context)
  const proxy = await openProxy(server.address, options)
  context.onTestFinished(() => proxy.close())
  const user = await client(context, proxy.address)
  return { proxy, server, user }
}
