import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs'
import type { Exit } from './broker.ts'

/** A program that runs by itself: its output goes to a file, and it holds no event loop open. */
export interface Program {
  readonly pid: number
  readonly running: boolean
  /** Resolves when it has ended. */
  readonly exit: Promise<Exit>
  /** Sends a signal before it returns, and waits for the end. */
  end(signal: NodeJS.Signals): Promise<Exit>
  pause(): void
  resume(): void
}

export interface LaunchOptions {
  readonly env: NodeJS.ProcessEnv
  readonly cwd: string
  readonly log: string
}

/** Starts a program in a process group of its own. */
export async function launch(
  file: string,
  args: readonly string[],
  { env, cwd, log }: LaunchOptions,
): Promise<Program> {
  const output = openSync(log, 'a')
  const child = spawn(file, args, { cwd, env, detached: true, stdio: ['ignore', output, output] })
  closeSync(output)
  const exit = new Promise<Exit>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve).once('error', reject)
  })
  child.unref()
  const pid = child.pid as number
  let stopped: number[] = []

  function tell(signal: NodeJS.Signals): void {
    child.kill(signal)
    for (const helper of stopped) send(helper, signal)
  }

  return {
    pid,
    exit,
    get running() {
      return child.exitCode === null && child.signalCode === null
    },
    end(signal) {
      // Its helpers end with it, unless they are stopped.
      tell(signal)
      if (signal !== 'SIGKILL') tell('SIGCONT')
      stopped = []
      child.ref()
      return exit
    },
    pause() {
      child.kill('SIGSTOP')
      stopped = descendants(pid)
      for (const helper of stopped) send(helper, 'SIGSTOP')
    },
    resume() {
      tell('SIGCONT')
      stopped = []
    },
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

/** The processes that it started, and those that they started. */
function descendants(pid: number): number[] {
  const children = new Map<number, number[]>()
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const parent = parentOf(name)
    if (parent !== undefined) children.set(parent, [...(children.get(parent) ?? []), Number(name)])
  }
  const found = [...(children.get(pid) ?? [])]
  // Grows as it goes.
  for (const each of found) found.push(...(children.get(each) ?? []))
  return found
}

function parentOf(pid: string): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return Number(stat.slice(stat.lastIndexOf(')')).split(' ')[2])
  } catch {
    return undefined
  }
}
