import { Alarm, type Clock } from '../clock.ts'
import { failure, NotifyError } from '../errors.ts'
import { callHook, Digest, type Hooks } from '../observe.ts'
import type { Item } from '../sender/buffer.ts'
import { Deadlines } from './deadlines.ts'
import type { Emit } from './emission.ts'

/** Sums of a notifier, in emits. `emitted = confirmed + failed + shed + filtered + pending` at any instant. */
export interface EmitStats {
  readonly emitted: number
  /** The broker has it, at every required driver and topic. */
  readonly confirmed: number
  readonly failed: number
  /** Gave way to a higher priority in a full buffer. */
  readonly shed: number
  /** Matched no rule, or only drivers that discard. */
  readonly filtered: number
  readonly pending: number
}

/** A notifier's account of its emits: what is open, what became of the rest, and who has to be told. */
export class Ledger {
  readonly #clock: Clock
  readonly #hooks: Hooks
  readonly #digest: Digest
  readonly #alarm: Alarm
  readonly #counts = { emitted: 0, confirmed: 0, failed: 0, shed: 0, filtered: 0 }
  /** Emits that are not decided, and those that are but for a driver that is not required. */
  #undecided = 0
  readonly #open = new Deadlines()
  readonly #unasked: Emit[] = []
  #telling = false
  /** Calls of `onFailure` that have not ended. */
  #inHook = 0
  #closed = false
  /** Open emits of each epoch; a flush ends one, and waits for all that came before it. */
  readonly #epochs = new Map<number, number>()
  #epoch = 0
  readonly #flushes = new Set<{ readonly epoch: number; done(): void }>()

  constructor(clock: Clock, hooks: Hooks) {
    this.#clock = clock
    this.#hooks = hooks
    this.#digest = new Digest(clock)
    this.#alarm = new Alarm(clock, () => this.#expire())
  }

  filtered(): void {
    this.#counts.emitted++
    this.#counts.filtered++
  }

  /** An emit that has been validated and encoded, before its first message is admitted. */
  began(emit: Emit, timeoutMs: number): void {
    this.#counts.emitted++
    this.#undecided++
    emit.epoch = this.#epoch
    this.#epochs.set(this.#epoch, (this.#epochs.get(this.#epoch) ?? 0) + 1)
    emit.deadline = this.#clock.now() + timeoutMs
    emit.timeoutMs = timeoutMs
    this.#open.add(emit)
    this.#alarm.by(emit.deadline)
  }

  /** An emit that never became a message. */
  refused(): void {
    this.#counts.emitted++
    this.#undecided++
  }

  decided(emit: Emit): void {
    this.#undecided--
    this.#counts[emit.status as 'confirmed' | 'failed' | 'shed']++
    if (emit.status === 'confirmed' || emit.asked) return
    // A hook that emits what it hears would hear of that after close, emit it, hear of it, and so on for ever.
    emit.quiet = this.#inHook > 0 && emit.failure?.code === 'CLOSED'
    this.#unasked.push(emit)
    if (this.#telling) return
    this.#telling = true
    this.#clock.defer(() => this.#tellUnasked())
  }

  /** Nothing of it is open at any driver. */
  ended(emit: Emit): void {
    this.#open.remove(emit)
    emit.release?.()
    const open = (this.#epochs.get(emit.epoch) as number) - 1
    if (open > 0) this.#epochs.set(emit.epoch, open)
    else {
      this.#epochs.delete(emit.epoch)
      this.#tellFlushes()
    }
    if (this.#open.size === 0) this.#alarm.clear()
  }

  /** A driver that is not required failed. It is told once for each emit and driver, whatever the topics. */
  optionalFailed(emit: Emit, item: Item): void {
    for (let other = emit.first; other !== undefined; other = other.sibling) {
      if (other !== item && !other.decides && other.sender === item.sender && other.failure !== undefined)
        return
    }
    const because = item.failure
    if (because !== undefined) this.#clock.defer(() => this.#tell(new NotifyError(because, emit.receipt())))
  }

  /** Resolves `true` when all that was emitted before has ended, `false` when `timeoutMs` has passed. */
  flush(timeoutMs: number): Promise<boolean> {
    const epoch = this.#epoch++
    if (!this.#olderThan(epoch)) return Promise.resolve(true)
    return new Promise((resolve) => {
      const alarm = new Alarm(this.#clock, () => end(false))
      const end = (ended: boolean) => {
        alarm.clear()
        this.#flushes.delete(flush)
        resolve(ended)
      }
      const flush = { epoch, done: () => end(true) }
      this.#flushes.add(flush)
      alarm.by(this.#clock.now() + timeoutMs)
    })
  }

  /** Emits that are open at some driver, decided or not. */
  get open(): number {
    return this.#open.size
  }

  stats(): EmitStats {
    return { ...this.#counts, pending: this.#undecided }
  }

  /** The notifier is closed: nothing is open any more, and the last lines are said. */
  close(): void {
    this.#alarm.clear()
    this.#closed = true
    this.#clock.defer(() => this.#digest.end())
  }

  #olderThan(epoch: number): boolean {
    for (const open of this.#epochs.keys()) if (open <= epoch) return true
    return false
  }

  #tellFlushes(): void {
    for (const flush of this.#flushes) if (!this.#olderThan(flush.epoch)) flush.done()
  }

  #tellUnasked(): void {
    this.#telling = false
    for (const emit of this.#unasked.splice(0)) if (!emit.asked) this.#tell(emit.error(), emit.quiet)
    // No later line will tell the count.
    if (this.#closed) this.#digest.end()
  }

  #tell(error: NotifyError, quiet = false): void {
    const { onFailure } = this.#hooks
    if (onFailure === undefined || quiet) {
      this.#digest.tell(error)
      return
    }
    this.#inHook++
    callHook('onFailure', onFailure, error, () => this.#inHook--)
  }

  #expire(): void {
    const now = this.#clock.now()
    for (let emit = this.#open.first; emit !== undefined && emit.deadline <= now; emit = this.#open.first) {
      emit.end(failure('DEADLINE', undefined, `${emit.timeoutMs} ms passed before the broker had it.`))
    }
    if (this.#open.first !== undefined) this.#alarm.by(this.#open.first.deadline)
  }
}
