import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** The variable by which a process, and whatever it starts, is known to belong to a folder. */
export const MARK = 'NOTIFY_BROKERS_HOME'

/** The processes that belong to the folder: also those in other groups and sessions, stopped ones, daemons. */
export function processesOf(folder: string): number[] {
  const mark = `\0${MARK}=${folder}\0`
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && environment(name).includes(mark))
    .map(Number)
}

/** Ends every process of the folder, whatever it is doing, and removes the folder. */
export async function sweep(folder: string): Promise<void> {
  // More than once: one that is being started has its variables only when it has become a program.
  for (let quiet = 0, looks = 0; quiet < 3 && looks < 500; looks++) {
    const processes = processesOf(folder)
    for (const pid of processes) signal(pid)
    quiet = processes.length === 0 ? quiet + 1 : 0
    await sleep(10)
  }
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended by itself.
  }
}

function environment(pid: string): string {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`
  } catch {
    return '' // ended, or somebody else's
  }
}
