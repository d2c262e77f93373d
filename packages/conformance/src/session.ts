import { randomBytes } from 'node:crypto'
import type { Capabilities } from '@notify/core'
import type { Need } from './case.ts'
import type { Harness, Load } from './harness.ts'
import { letGo, measure, type Times } from './times.ts'
import { firesAfter } from './wait.ts'

/** What a driver has, beside its capabilities. */
export interface Parts {
  readonly name: string
  readonly capabilities: Capabilities
  readonly subscribe: boolean
  readonly observe: boolean
}

/** What all cases of one suite share: one harness, what the driver says it can, and how quick it is here. */
export class Session {
  readonly seed: number
  readonly #load: Load
  #harness: Promise<Harness> | undefined
  #parts: Promise<Parts> | undefined
  #times: Promise<Times> | undefined
  #turn: Promise<unknown> = Promise.resolve()
  #beside: Promise<unknown>[] = []
  /** Of this session alone, also of those that are made within one millisecond, or in processes with one id. */
  readonly #mark = `${Date.now().toString(36).slice(-6)}${randomBytes(4).toString('hex')}`
  #runs = 0

  constructor(load: Load, seed: number) {
    this.#load = load
    this.seed = seed
  }

  /** Loads it with the first call. */
  harness(): Promise<Harness> {
    this.#harness ??= (async () => this.#load())()
    return this.#harness
  }

  /** What the driver says of itself. */
  parts(): Promise<Parts> {
    this.#parts ??= this.#ask()
    return this.#parts
  }

  /** Measured with the first call. */
  times(): Promise<Times> {
    this.#times ??= (async () =>
      measure(await this.harness(), (await this.parts()).capabilities, this.run()))()
    return this.#times
  }

  /** For the names of one run of one case, so that no two meet. */
  run(): string {
    return `${this.#mark}${(this.#runs++).toString(36)}`
  }

  /** A case's own chance: the same whichever other cases are run. */
  seedOf(id: string): number {
    let hash = this.seed
    for (const character of id) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193)
    return hash
  }

  /** Runs `work`; alone if it is `exclusive`, else beside others that are not. */
  async queue<T>(exclusive: boolean, work: () => Promise<T>): Promise<T> {
    const before = exclusive ? Promise.all([this.#turn, ...this.#beside]) : this.#turn
    const done = before.then(work)
    const over = done.catch(() => {})
    if (exclusive) {
      this.#turn = over
      this.#beside = []
    } else this.#beside.push(over)
    return await done
  }

  async dispose(): Promise<void> {
    const harness = await this.#harness?.catch(() => undefined)
    this.#harness = undefined
    await harness?.dispose?.()
  }

  async #ask(): Promise<Parts> {
    const harness = await this.harness()
    const driver = await harness.open()
    await letGo(driver, { timeoutMs: 1_000, signal: firesAfter(1_000) })
    return {
      name: driver.name,
      capabilities: driver.capabilities,
      subscribe: driver.subscribe !== undefined,
      observe: driver.observe !== undefined,
    }
  }
}

/** Why a case cannot be run with this driver and harness: it says that it cannot, or something is missing. */
export function missing(
  needs: readonly Need[],
  harness: Harness,
  { capabilities, subscribe, observe }: Parts,
): { readonly status: 'unsupported' | 'blocked'; readonly reason: string } | undefined {
  const declared: Partial<Record<Need, string | false>> = {
    subscribe: !subscribe && 'the driver has no subscribe',
    observe: !observe && 'the driver has no observe',
    groups: !capabilities.groups && 'capabilities.groups is false',
    requeue: !capabilities.requeue && 'capabilities.requeue is false',
    delay: capabilities.delay === false && 'capabilities.delay is false',
    deliveryCount: !capabilities.deliveryCount && 'capabilities.deliveryCount is false',
    history: !capabilities.history && 'capabilities.history is false',
    deduplication: capabilities.deduplication === false && 'capabilities.deduplication is false',
    ordering: capabilities.ordering === 'none' && "capabilities.ordering is 'none'",
    broker: capabilities.confirms !== 'broker' && `capabilities.confirms is '${capabilities.confirms}'`,
    stored: capabilities.discards
      ? 'the driver discards'
      : !subscribe &&
        harness.read === undefined &&
        'what it keeps can be neither read nor delivered: no subscribe, and the harness has no read',
  }
  // The order is the case's: what it is about comes before what it needs to prove it.
  for (const need of needs) {
    const reason = declared[need]
    if (typeof reason === 'string') return { status: 'unsupported', reason }
    if (need in declared || offers(harness, need)) continue
    return { status: 'blocked', reason: `the harness has no ${WORDS[need] ?? need}` }
  }
  return undefined
}

const WORDS: Partial<Record<Need, string>> = {
  address: 'broker.address',
  lease: 'leaseMs',
  cut: 'broker.address, and no faults.cut',
}

function offers(harness: Harness, need: Need): boolean {
  const { read, inject, borrow, leaseMs, broker, faults = {} } = harness
  switch (need) {
    case 'read':
      return read !== undefined
    case 'inject':
      return inject !== undefined
    case 'borrow':
      return borrow !== undefined
    case 'lease':
      return leaseMs !== undefined
    case 'address':
      return broker.address !== undefined
    case 'cut':
      return broker.address !== undefined || faults.cut !== undefined
    default:
      return faults[need.slice('faults.'.length) as keyof typeof faults] !== undefined
  }
}
