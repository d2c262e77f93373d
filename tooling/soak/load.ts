import { type ChildProcess, spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'

/** Processes that do nothing and take all the time they can get. */
export function loadProcessors(count: number = availableParallelism()): () => void {
  const busy: ChildProcess[] = []
  for (let index = 0; index < count; index++) {
    busy.push(
      spawn(
        process.execPath,
        [
          '-e',
          'process.stdin.on("end", () => process.exit()).resume(); setInterval(() => { const end = Date.now() + 90; while (Date.now() < end); }, 100)',
        ],
        { stdio: ['pipe', 'ignore', 'ignore'] },
      ),
    )
  }
  // They end with their input, however this process ends.
  return () => busy.forEach((child) => void child.stdin?.end())
}
