import { spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * Runs `task` while no other process is in a task with the same lock file. The system gives the lock back however
 * the process ends: a program holds it that ends with its input.
 */
export async function locked<T>(file: string, task: () => Promise<T>): Promise<T> {
  const holder = spawn('flock', ['--exclusive', file, 'sh', '-c', 'echo; exec cat'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  const ended = once(holder, 'close')
  // Whoever waits for the lock hears of it by `ended` as well.
  ended.catch(() => {})
  const [first] = await Promise.race([once(holder.stdout, 'data'), ended])
  if (!Buffer.isBuffer(first)) throw new Error(`flock ${file}: exit code ${first}`)
  try {
    return await task()
  } finally {
    holder.stdin.end()
    await ended
  }
}
