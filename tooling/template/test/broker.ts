import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** A broker that a test has to itself, to be broken in every way. */
export interface Broker {
  readonly host: string
  readonly port: number
  /** SIGKILL, sent before this returns. Resolves when the process has ended. */
  kill(): Promise<void>
  /** Back, on the same port, with what it has stored. */
  start(): Promise<void>
  /** SIGSTOP, SIGCONT. */
  pause(): void
  resume(): void
  /** See {@link ask}. */
  ask(request: Readonly<Record<string, unknown>>): Promise<Answer>
  /** No process and no data is left. */
  stop(): Promise<void>
}

export interface Answer {
  readonly count?: number
  readonly messages?: readonly unknown[]
}

const PROGRAM = join(import.meta.dirname, '../broker/main.ts')

/** Starts a broker that does not outlive this process, and does not keep it alive either. */
export async function startBroker({ password }: { readonly password?: string } = {}): Promise<Broker> {
  const data = await mkdtemp(join(tmpdir(), 'acme-'))
  const host = '127.0.0.1'
  const port = await freePort()
  const args = [
    '--port',
    String(port),
    '--data',
    data,
    ...(password === undefined ? [] : ['--password', password]),
  ]
  let running = await launch(args)

  async function kill(): Promise<void> {
    if (running.exitCode !== null || running.signalCode !== null) return
    const ended = once(running, 'exit')
    running.ref()
    running.kill('SIGKILL')
    await ended
  }

  return {
    host,
    port,
    kill,
    async start() {
      running = await launch(args)
    },
    pause: () => void running.kill('SIGSTOP'),
    resume: () => void running.kill('SIGCONT'),
    ask: (request) => ask({ host, port }, password, request),
    async stop() {
      await kill()
      await rm(data, { recursive: true })
    },
  }
}

async function launch(args: readonly string[]): Promise<ReturnType<typeof fork>> {
  const child = fork(PROGRAM, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], execArgv: [] })
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the broker ended with ${code}`)
  })
  ended.catch(() => {})
  await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), ended])
  child.stdout?.destroy()
  child.unref()
  child.channel?.unref()
  return child
}

/**
 * Below those that the system hands out by itself: a client that keeps dialling one of those, while the broker is
 * down, ends up connected to itself.
 */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000)
    const server = createServer().listen(port, '127.0.0.1')
    const free = await once(server, 'listening').then(
      () => true,
      () => false,
    )
    if (!free) continue
    server.close()
    return port
  }
}

/** One request of an administrator, on a connection of its own. Rejects with what the broker says against it. */
export async function ask(
  target: { readonly host: string; readonly port: number },
  password: string | undefined,
  request: Readonly<Record<string, unknown>>,
): Promise<Answer> {
  const socket = connect(target).setEncoding('utf8')
  try {
    socket.write(`${JSON.stringify({ id: 1, do: 'hello', password })}\n`)
    socket.write(`${JSON.stringify({ ...request, id: 2 })}\n`)
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      for (const line of text.split('\n').slice(0, -1)) {
        const { re, error, ...answer } = JSON.parse(line)
        if (error !== undefined) throw new Error(error)
        if (re === 2) return answer
      }
    }
    throw new Error('the broker hung up')
  } finally {
    socket.destroy()
  }
}
