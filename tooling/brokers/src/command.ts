import { execFile } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly input?: string
  /** Default: 30 seconds. */
  readonly timeoutMs?: number
}

/** Runs a program and gives what it printed. Rejects with everything that it printed when it fails. */
export function command(
  program: string,
  args: readonly string[],
  { env, cwd, input, timeoutMs = 30_000 }: CommandOptions = {},
): Promise<string> {
  const options = { env, cwd, timeout: timeoutMs, killSignal: 'SIGKILL', maxBuffer: 2 ** 26 } as const
  return new Promise((resolve, reject) => {
    const child = execFile(program, args, options, (error, stdout, stderr) => {
      if (error === null) return resolve(stdout)
      const how =
        error.killed === true ? `not done in ${timeoutMs} ms` : (error.signal ?? `exit code ${error.code}`)
      const said = `${stdout}\n${stderr}`.trim()
      reject(new Error(`${program} ${args.join(' ')}: ${how}\n${said}`, { cause: error }))
    })
    // A program that does not read its input closes it: not an error of ours.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

/** The programs among these that are not on the PATH. */
export function missing(programs: readonly string[]): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return programs.filter((program) => !folders.some((folder) => isExecutable(join(folder, program))))
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
