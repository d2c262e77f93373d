import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { atMost } from '../wait.ts'

/** It runs as it is written, or as it was built, as this module does. */
const PROGRAM = import.meta.url.endsWith('.ts')
  ? new URL('./child.ts', import.meta.url)
  : new URL('./child.js', import.meta.url)
/** How long what it complains of may be under way. */
const ERRORS_MS = 500

/** The suite's program, in a process of its own. */
export class Child implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #ended: Promise<unknown>
  /** Ended, and nothing that it said is still under way. */
  readonly #silent: Promise<unknown>
  readonly #said = new Map<string, PromiseWithResolvers<void>>()
  #errors = ''

  constructor(args: readonly string[]) {
    this.#process = fork(PROGRAM, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#ended = once(this.#process, 'exit').catch(() => {})
    this.#silent = Promise.all([once(this.#process, 'close'), once(this.#process, 'disconnect')]).catch(
      () => {},
    )
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-2_000)
    })
    this.#process.on('message', (what) => this.#word(String(what)).resolve())
  }

  /** Whether it says so within `ms`, before it ends. */
  async says(what: string, ms: number): Promise<boolean> {
    const word = this.#word(what)
    await atMost(ms, Promise.race([word.promise, this.#silent]))
    return (await atMost(0, word.promise)) !== undefined
  }

  /** Whether it ends by itself within `ms`. */
  async ends(ms: number): Promise<boolean> {
    return (await atMost(ms, this.#ended)) !== undefined
  }

  /** How it ended, if it has, and what it complained of. */
  async story(): Promise<string> {
    await atMost(ERRORS_MS, this.#silent)
    const { exitCode, signalCode } = this.#process
    const runs = exitCode === null && signalCode === null
    const end = runs ? 'it still runs' : `it ended with ${exitCode ?? signalCode}`
    return this.#errors === '' ? end : `${end}: ${this.#errors.trim()}`
  }

  /** Whether it has ended as a program does that has nothing to complain of. */
  get isWell(): boolean {
    return this.#process.exitCode === 0
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#ended
  }

  #word(what: string): PromiseWithResolvers<void> {
    const word = this.#said.get(what) ?? Promise.withResolvers<void>()
    this.#said.set(what, word)
    return word
  }
}
