import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A file to which lines are added. What happens in one turn, and while a sync is under way, is synced together. */
export class Journal<T> {
  readonly #file: FileHandle
  #pending = ''
  #written: Promise<void> = Promise.resolve()

  private constructor(file: FileHandle) {
    this.#file = file
  }

  /** Hands over what is there, the oldest first. */
  static async open<T>(folder: string, replay: (record: T) => void): Promise<Journal<T>> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, 'journal.jsonl')
    const file = await open(path, 'a')
    const bytes = await readFile(path)
    // A broker that is killed while it writes leaves half a line, of which nobody was told.
    const length = bytes.lastIndexOf('\n') + 1
    await file.truncate(length)
    const lines = bytes.toString('utf8', 0, length).split('\n')
    for (const line of lines.slice(0, -1)) replay(JSON.parse(line) as T)
    return new Journal<T>(file)
  }

  add(record: T): void {
    if (this.#pending === '') this.#written = this.#written.then(() => this.#write())
    this.#pending += `${JSON.stringify(record)}\n`
  }

  /** Resolves when all that was added before is on the disk. */
  written(): Promise<void> {
    return this.#written
  }

  async #write(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    const lines = this.#pending
    this.#pending = ''
    await this.#file.appendFile(lines)
    await this.#file.datasync()
  }
}
