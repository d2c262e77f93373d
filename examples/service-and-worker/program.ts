import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** How long a line may take to come. */
const PATIENCE_MS = 20_000

/** A program of this folder as a process of its own. What it prints is kept until it is asked for. */
export class Program {
  readonly #name: string
  readonly #child: ChildProcess
  readonly #ended: Promise<unknown>
  readonly #lines: string[] = []
  #wake: () => void = () => {}

  constructor(name: string, env: Readonly<Record<string, string>>) {
    this.#name = name
    this.#child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`)], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    this.#ended = once(this.#child, 'close')
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      this.#lines.push(line)
      this.#wake()
    })
    // Whatever becomes of this process, that one does not stay behind.
    process.once('exit', () => this.#child.kill('SIGKILL'))
  }

  /** Prints what it says, until it has said that; gives the last line. */
  async says(text: string): Promise<string> {
    for (;;) {
      const line = await this.#next(text)
      console.log(`${this.#name.padEnd(7)} | ${line}`)
      if (line.includes(text)) return line
    }
  }

  /** Prints as many lines in the order of the alphabet, where they may come in any. */
  async saysInAnyOrder(count: number): Promise<void> {
    const lines: string[] = []
    while (lines.length < count) lines.push(await this.#next(`${count} lines`))
    for (const line of lines.sort()) console.log(`${this.#name.padEnd(7)} | ${line}`)
  }

  /** SIGKILL: it can put nothing in order. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** SIGTERM: it ends by itself, after some last words. */
  async stop(lastWords: string): Promise<void> {
    this.#child.kill('SIGTERM')
    await this.says(lastWords)
    await this.#ended
  }

  async #next(waitingFor: string): Promise<string> {
    const deadline = performance.now() + PATIENCE_MS
    for (;;) {
      const line = this.#lines.shift()
      if (line !== undefined) return line
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${this.#name} did not say "${waitingFor}".`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}
