import { Alarm, type Clock } from '../clock.ts'
import { failure, NotifyError } from '../errors.ts'
import { List } from '../list.ts'
import { callHook, Digest, type Hooks } from '../observe.ts'
import type { Item } from '../sender/buffer.ts'
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
  /** Open emits by the timeout they were given: each list is in the order of its deadlines. */
  readonly #open = new Map<number, List<Emit>>()
  readonly #unasked: Emit[] = []
  #telling = false
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
    let list = this.#open.get(timeoutMs)
    if (list === undefined) {
      list = new List()
      this.#open.set(timeoutMs, list)
    }
    list.append(emit)
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
    this.#unasked.push(emit)
    if (this.#telling) return
    this.#telling = true
    this.#clock.defer(() => this.#tellUnasked())
  }

  /** Nothing of it is open at any driver. */
  ended(emit: Emit): void {
    const list = emit.list as List<Emit>
    list.remove(emit)
    emit.release?.()
    const open = (this.#epochs.get(emit.epoch) as number) - 1
    if (open > 0) this.#epochs.set(emit.epoch, open)
    else {
      this.#epochs.delete(emit.epoch)
      this.#tellFlushes()
    }
    if (list.size > 0) return
    // Timeouts that were used once must not be remembered for ever.
    if (this.#open.size > 8)
      for (const [timeoutMs, other] of this.#open) if (other.size === 0) this.#open.delete(timeoutMs)
    if (this.#epochs.size === 0) this.#alarm.clear()
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

  stats(): EmitStats {
    return { ...this.#counts, pending: this.#undecided }
  }

  /** The notifier is closed: nothing is open any more, and the last lines are said. */
  close(): void {
    this.#alarm.clear()
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
    for (const emit of this.#unasked.splice(0)) if (!emit.asked) this.#tell(emit.error())
  }

  #tell(error: NotifyError): void {
    const { onFailure } = this.#hooks
    if (onFailure !== undefined) callHook('onFailure', onFailure, error)
    else this.#digest.tell(error.code, error.message)
  }

  #expire(): void {
    const now = this.#clock.now()
    for (const [timeoutMs, list] of this.#open) {
      for (let emit = list.head; emit !== undefined && emit.deadline <= now; emit = list.head) {
        emit.end(failure('DEADLINE', undefined, `${timeoutMs} ms passed before the broker had it.`))
      }
    }
    for (const { head } of this.#open.values()) if (head !== undefined) this.#alarm.by(head.deadline)
  }
}
