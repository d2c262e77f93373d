import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { MARK, sweep } from './sweep.ts'

/** The variable that tells all processes of a run where what they share is. */
export const RUN = 'NOTIFY_BROKERS_RUN'

/** Somebody whose end is noticed, however it comes. */
export interface Owner {
  /** What it owns. Not there until somebody needs it; removed at the end, with all that runs in it. */
  readonly folder: string
  /** Resolves when nothing is left. */
  close(): Promise<void>
}

/** A folder in which programs run that do not outlive its owner. */
export interface Home extends Owner {
  /** What marks a program as of this folder: all that is started in it carries these variables. */
  readonly env: NodeJS.ProcessEnv
}

/** A home that ends with this process, if it is not closed before. */
export async function openHome(): Promise<Home> {
  const owner = await own()
  return { ...owner, env: await guard(owner.folder) }
}

/** A home that ends with the run whose folder it is. */
export async function homeOfRun(folder: string): Promise<Home> {
  return { folder, env: await guard(folder), close: async () => {} }
}

/** Makes this process the owner of a folder. It holds no event loop open. */
export async function own(): Promise<Owner> {
  const folder = join(tmpdir(), `notify-brokers-${randomUUID().slice(0, 8)}`)
  const guardians = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    guardians.add(socket.unref())
    socket.on('error', () => {}).once('close', () => guardians.delete(socket))
    socket.resume()
  })
  // Not a file but a name that the system forgets when the process ends.
  server.listen(`\0${basename(folder)}`).unref()
  await once(server, 'listening')
  let closing: Promise<void> | undefined
  async function close(): Promise<void> {
    server.close()
    await Promise.all([...guardians].map(dismiss))
    // A guardian may have been killed itself.
    if (existsSync(folder)) await sweep(folder)
  }
  return { folder, close: () => (closing ??= close()) }
}

async function dismiss(guardian: Socket): Promise<void> {
  const closed = once(guardian.ref(), 'close')
  guardian.end()
  await closed
}

/** Makes the folder, and sees to it that nothing of it outlives its owner. */
async function guard(folder: string): Promise<NodeJS.ProcessEnv> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const program = join(import.meta.dirname, 'guardian.ts')
  const guardian = spawn(process.execPath, [program, basename(folder), folder], {
    cwd: '/',
    detached: true,
    env: { PATH: process.env.PATH },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const ended = once(guardian, 'exit').then(([code]) => {
    throw new Error(`the guardian of ${folder} ended with exit code ${code}`)
  })
  ended.catch(() => {})
  await Promise.race([once(guardian.stdout, 'data'), ended])
  guardian.stdout.destroy()
  guardian.unref()
  return { [MARK]: folder }
}
