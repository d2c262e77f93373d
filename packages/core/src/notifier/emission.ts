import type { Destination } from '../driver.ts'
import { type Failure, NotifyError } from '../errors.ts'
import type { Item, Owner } from '../sender/buffer.ts'
import type { Ledger } from './ledger.ts'

/** What became of an emit at one driver and topic. */
export interface Result {
  /** The driver's name. */
  readonly driver: string
  readonly topic: string
  /** `pending` only for a driver that is not required. `shed`: it gave way to a higher priority. */
  readonly status: 'confirmed' | 'failed' | 'shed' | 'pending'
  /** How often it was handed to the driver. */
  readonly attempts: number
  readonly failure?: Failure
}

/** What an awaited emit resolves to: the broker has it, at every required driver and topic. */
export interface Receipt {
  readonly message_id: string
  /** One for each driver that matched and each topic. Empty where no rule matched. */
  readonly results: readonly Result[]
}

/**
 * What an emit returns. Await it, and it resolves when the broker has the notification, or rejects with a
 * `NotifyError`. Or let it float: it can neither throw nor become an unhandled rejection, and a failure that
 * nobody asked for is told to `onFailure`. It is no Promise, so linters let it float too, and nothing is
 * allocated until somebody asks.
 */
export interface Emission {
  readonly message_id: string
  then<A = Receipt, B = never>(
    onConfirmed?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
    onFailed?: ((error: NotifyError) => B | PromiseLike<B>) | null,
  ): Promise<A | B>
  catch<B = never>(onFailed?: ((error: NotifyError) => B | PromiseLike<B>) | null): Promise<Receipt | B>
  finally(onEnded?: (() => void) | null): Promise<Receipt>
}

/** One emit, from the call until it has ended at every driver. */
export class Emit implements Owner {
  readonly id: string
  readonly ledger: Ledger
  /**
   * The first of its messages; each knows the next. No array: after a full buffer V8 would make each new one an
   * old object, which keeps alive whatever it refers to, and the heap of an outage would grow with garbage.
   */
  first: Item | undefined
  /** When it ends as DEADLINE, in the clock's milliseconds. */
  deadline: number = Number.POSITIVE_INFINITY
  /** How long after it was emitted that is. */
  timeoutMs = 0
  /** Its place among the deadlines. */
  place = 0
  /** Takes the caller's signal off again. */
  release: (() => void) | undefined
  /** Which flush waits for it. */
  epoch = 0
  status: Result['status'] = 'pending'
  asked = false
  /** Its failure is no business of `onFailure`. */
  quiet = false

  #last: Item | undefined
  #failure: Failure | undefined
  #error: NotifyError | undefined
  /** Items that decide about this emit, and all items, which have not ended. */
  #deciding = 0
  #open = 0
  #waiters: { resolve(receipt: Receipt): void; reject(error: NotifyError): void }[] | undefined

  constructor(id: string, ledger: Ledger) {
    this.id = id
    this.ledger = ledger
  }

  dedupId(destination: Destination): string {
    return `${this.id}/${destination.name}`
  }

  add(item: Item): void {
    if (this.#last === undefined) this.first = item
    else this.#last.sibling = item
    this.#last = item
    this.#open++
    if (item.decides) this.#deciding++
  }

  /** One of its items has ended, as `item.status` and `item.failure` say. */
  itemEnded(item: Item): void {
    this.#open--
    if (item.decides) {
      this.#deciding--
      if (this.#failure === undefined && item.failure !== undefined) this.#failure = item.failure
      if (this.#deciding === 0) this.#decide()
    } else if (item.failure !== undefined) {
      this.ledger.optionalFailed(this, item)
    }
    if (this.#open === 0) this.ledger.ended(this)
  }

  /** Its messages are about to be admitted. It ends when all have been, even if each ends at once. */
  hold(): void {
    this.#open++
    this.#deciding++
  }

  letGo(): void {
    this.#deciding--
    if (this.#deciding === 0) this.#decide()
    this.#open--
    if (this.#open === 0) this.ledger.ended(this)
  }

  /** Ends what is open of it, everywhere. */
  end(because: Failure): void {
    for (let item = this.first; item !== undefined; item = item.sibling) item.drop(because)
  }

  /** Ends an emit that never became a message. */
  refuse(failure: Failure): void {
    this.#failure = failure
    this.#decide()
  }

  get failure(): Failure | undefined {
    return this.#failure
  }

  ask(): Promise<Receipt> {
    this.asked = true
    // One that rejects before anybody can have attached himself is entered in the host's list of rejections that
    // nobody handles, and has to be taken off it again.
    if (this.status !== 'pending') return DONE.then(() => this.#outcome())
    return new Promise((resolve, reject) => {
      this.#waiters ??= []
      this.#waiters.push({ resolve, reject })
    })
  }

  #outcome(): Receipt {
    if (this.status === 'confirmed') return this.receipt()
    throw this.error()
  }

  /** The error of a failed emit, made when somebody wants it: most are counted and never looked at. */
  error(): NotifyError {
    this.#error ??= new NotifyError(this.#failure as Failure, this.receipt())
    return this.#error
  }

  receipt(): Receipt {
    const results: Result[] = []
    for (let item = this.first; item !== undefined; item = item.sibling) results.push(item.result())
    return { message_id: this.id, results }
  }

  #decide(): void {
    const failure = this.#failure
    this.status = failure === undefined ? 'confirmed' : failure.code === 'SHED' ? 'shed' : 'failed'
    this.ledger.decided(this)
    const waiters = this.#waiters
    if (waiters === undefined) return
    this.#waiters = undefined
    for (const { resolve, reject } of waiters) {
      if (failure === undefined) resolve(this.receipt())
      else reject(this.error())
    }
  }
}

/** The emission of an emit that went somewhere, or was refused. */
export class Outcome implements Emission {
  readonly #emit: Emit

  constructor(emit: Emit) {
    this.#emit = emit
  }

  get message_id(): string {
    return this.#emit.id
  }

  // biome-ignore lint/suspicious/noThenProperty: an emission is awaitable by design
  then<A = Receipt, B = never>(
    onConfirmed?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
    onFailed?: ((error: NotifyError) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#emit.ask().then(onConfirmed, onFailed)
  }

  catch<B = never>(onFailed?: ((error: NotifyError) => B | PromiseLike<B>) | null): Promise<Receipt | B> {
    return this.#emit.ask().catch(onFailed)
  }

  finally(onEnded?: (() => void) | null): Promise<Receipt> {
    return this.#emit.ask().finally(onEnded)
  }
}

/** The emission of what goes nowhere. It is made millions of times by programs that have notifying switched off. */
export class Filtered implements Emission {
  #id: string | undefined

  constructor(id?: string) {
    this.#id = id
  }

  get message_id(): string {
    this.#id ??= globalThis.crypto.randomUUID()
    return this.#id
  }

  /**
   * Calls back before it returns, which awaiting cannot tell from later, and which is what makes "off" cheap:
   * a promise for each emit would cost more than all the rest.
   */
  // biome-ignore lint/suspicious/noThenProperty: an emission is awaitable by design
  then<A = Receipt, B = never>(
    onConfirmed?: ((receipt: Receipt) => A | PromiseLike<A>) | null,
  ): Promise<A | B> {
    const receipt: Receipt = new FilteredReceipt(this)
    if (typeof onConfirmed !== 'function') return Promise.resolve(receipt as A)
    try {
      const value = onConfirmed(receipt)
      return value === undefined ? (DONE as Promise<A>) : Promise.resolve(value)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  catch(): Promise<Receipt> {
    return this.then()
  }

  finally(onEnded?: (() => void) | null): Promise<Receipt> {
    return this.then<Receipt>().finally(onEnded)
  }
}

const DONE: Promise<unknown> = /* @__PURE__ */ Promise.resolve()
const NO_RESULTS: readonly Result[] = /* @__PURE__ */ Object.freeze([])

/** Makes its id only for who reads it. */
class FilteredReceipt implements Receipt {
  readonly results: readonly Result[] = NO_RESULTS
  readonly #emission: Emission

  constructor(emission: Emission) {
    this.#emission = emission
  }

  get message_id(): string {
    return this.#emission.message_id
  }
}
