import type { Harness } from '@notify/conformance'
import manifest from '../package.json' with { type: 'json' }
import { type LogStream, log } from '../src/index.ts'

/** A stream that takes each line at once, takes none while it is paused, and breaks for what it is to refuse. */
class Pipe implements LogStream {
  readonly #refused: string[] = []
  #waiting: (() => void)[] | undefined

  write(line: string, callback: (error?: Error) => void): void {
    const answer = (): void => {
      const broken = this.#refused.some((topic) => line.includes(`topic=${topic}`))
      callback(broken ? Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }) : undefined)
    }
    if (this.#waiting === undefined) queueMicrotask(answer)
    else this.#waiting.push(answer)
  }

  // Its errors go to the callbacks alone.
  on(): void {}
  off(): void {}

  async pause(): Promise<void> {
    this.#waiting ??= []
  }

  async resume(): Promise<void> {
    const waiting = this.#waiting ?? []
    this.#waiting = undefined
    for (const answer of waiting) answer()
  }

  async refuse({ topic }: { readonly topic: string }): Promise<void> {
    this.#refused.push(topic)
  }
}

/** All drivers write to one stream. What lines say is looked at elsewhere: a log is not read back. */
export default function load(): Harness {
  const stream = new Pipe()
  return {
    driver: { package: manifest.name, version: manifest.version },
    broker: { name: 'a stream', version: async () => process.version },
    url: import.meta.url,
    open: async () => log({ stream }),
    async destination(topic, priority = 'INFO') {
      return { topic, priority, name: `${topic}.${priority.toLowerCase()}` }
    },
    faults: {
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      refuse: (destination) => stream.refuse(destination),
    },
  }
}
