import type { Socket } from 'node:net'
import type { Traffic } from './direction.ts'

/** What may wait in the proxy for each direction of a connection; then it stops reading, as a full wire does. */
const LIMIT = 4 * 1024 * 1024
/** The finest step in which a rate is kept. */
const STEP_MS = 20

interface Waiting {
  /** The end of the stream, if not bytes: in good order, or not. */
  what: Buffer | 'end' | 'reset'
  readonly due: number
}

/** One direction of one connection. */
export class Flow {
  readonly #from: Socket
  readonly #to: Socket
  readonly #traffic: Traffic
  readonly #connection: number
  readonly #reset: () => void
  readonly #queue: Waiting[] = []
  #queued = 0
  #busy = false
  #free = 0
  #timer: NodeJS.Timeout | undefined
  /** Takes all and gives nothing. */
  #lost = false
  /** The other side was told that no more comes. */
  #ended = false

  constructor(from: Socket, to: Socket, traffic: Traffic, connection: number, reset: () => void) {
    this.#from = from
    this.#to = to
    this.#traffic = traffic
    this.#connection = connection
    this.#reset = reset
    from.on('data', (data) => this.#add(data))
    from.on('end', () => this.#add('end'))
    from.on('error', () => this.#add('reset'))
  }

  /** Looks again: something has changed. */
  readonly pump = (): void => {
    clearTimeout(this.#timer)
    while (!this.#busy && !this.#traffic.held && !this.#lost) {
      const [head] = this.#queue
      if (head === undefined) break
      const wait = Math.max(head.due, this.#free) - performance.now()
      if (wait > 0) {
        this.#timer = setTimeout(this.pump, wait)
        break
      }
      if (head.what === 'reset') {
        this.#reset()
        return
      }
      if (head.what === 'end') {
        this.#queue.shift()
        this.#ended = true
        this.#to.end()
      } else this.#forward(this.#take(head))
    }
    if (this.#queued < LIMIT) this.#from.resume()
  }

  /** Ends this direction after what is under way. */
  finish(): void {
    this.#add('end')
  }

  /** What is under way is gone, and so is all that comes. */
  lose(): void {
    this.#lost = true
    this.#queue.length = 0
    this.#queued = 0
    clearTimeout(this.#timer)
    this.#from.resume()
  }

  /** The connection is over. */
  stop(): void {
    this.lose()
    this.#from.destroy()
  }

  #add(what: Waiting['what']): void {
    if (this.#lost || (this.#ended && what !== 'reset')) return
    this.#queue.push({ what, due: performance.now() + this.#traffic.delay() })
    if (Buffer.isBuffer(what)) this.#queued += what.length
    if (this.#queued >= LIMIT) this.#from.pause()
    this.pump()
  }

  /** As much of the head as may go on at once. */
  #take(head: Waiting): Buffer {
    const bytes = head.what as Buffer
    const { bytesPerSecond, sliceBytes = bytes.length } = this.#traffic.current
    let length = Math.min(bytes.length, Math.max(1, sliceBytes))
    if (bytesPerSecond !== undefined) {
      length = Math.min(length, Math.max(1, Math.floor((bytesPerSecond * STEP_MS) / 1000)))
      this.#free = Math.max(this.#free, performance.now()) + (length / bytesPerSecond) * 1000
    }
    if (length === bytes.length) this.#queue.shift()
    else head.what = bytes.subarray(length)
    this.#queued -= length
    return bytes.subarray(0, length)
  }

  #forward(bytes: Buffer): void {
    const { piece, cut } = this.#traffic.inspect(bytes, this.#connection)
    if (cut !== undefined) {
      // The reset would overtake what the system has not taken yet.
      this.#busy = true
      const end = (): void => {
        this.#reset()
        cut()
      }
      if (piece.length > 0) this.#to.write(piece, end)
      else end()
      return
    }
    const full = !this.#to.write(piece)
    if (full || this.#traffic.current.sliceBytes !== undefined) {
      this.#busy = true
      const next = (): void => {
        this.#busy = false
        this.pump()
      }
      if (full) this.#to.once('drain', next)
      else setImmediate(next)
    }
  }
}
