import { Alarm, type Clock, NEVER } from '../clock.ts'
import type { Delivery, Destination } from '../driver.ts'
import { type Failure, failure, NotifyError } from '../errors.ts'
import { backoffMs } from '../retry.ts'
import { Held, type Outcomes, type Session } from './held.ts'
import { Lanes, type Queue } from './lanes.ts'
import { Context, type Run, verdictOf } from './run.ts'
import { Runner, type RunnerOptions } from './runner.ts'
import { Settlement, type SettlementOptions } from './settlement.ts'

/** Starts in one turn of the event loop, and their time, after which timers and sockets get theirs. */
const BURST_STARTS = 100
const BURST_MS = 5
/** After its subscription has ended, a settle that was on its way may still be answered for so long. */
const ANSWER_MS = 5_000
/** So many deliveries above `maxDeliveries` a message is still decoded, for its id. */
const UNREAD_DELIVERIES = 3

/** What a listener settles about its dispatch when it is made. */
export interface DispatchOptions extends RunnerOptions, SettlementOptions {
  readonly concurrency: number
  readonly maxDeliveries: number
}

/** Everything between receiving a delivery and settling it. */
export class Dispatch {
  readonly #options: DispatchOptions
  readonly #clock: Clock
  readonly #random: () => number
  readonly #lanes: Lanes<Held>
  readonly #alarm: Alarm
  readonly #settlement: Settlement
  readonly #runner: Runner
  /** Those that have a slot, settled or not. */
  readonly #running = new Set<Held>()
  #burst = 0
  #burstAt = 0
  #scheduled = false
  #pumping = false
  #halted = false
  #handingBack = false
  #idle: (() => void) | undefined

  constructor(options: DispatchOptions) {
    this.#options = options
    this.#clock = options.clock
    this.#lanes = new Lanes(options.concurrency)
    this.#alarm = new Alarm(options.clock, () => this.#ring())
    this.#settlement = new Settlement(options, this.#alarm, () => this.#settled())
    this.#runner = new Runner(options, this.#alarm, (held) => this.#conclude(held))
    this.#random = () => options.clock.random()
  }

  /** Makes the queue of one more destination, for its sessions. */
  queue(destination: Destination): Queue<Held> {
    return this.#lanes.queue(destination.priority)
  }

  stats(): Outcomes & { readonly received: number; readonly pending: number; readonly running: number } {
    return { ...this.#settlement.stats(), running: this.#lanes.running }
  }

  /** How many runs of handlers have failed since one succeeded. */
  get failedInARow(): number {
    return this.#runner.failedInARow
  }

  /** Takes a delivery. Safe to be handed anything, at any time. */
  receive(delivery: Delivery, session: Session): void {
    if (session.over || !ArrayBuffer.isView(delivery?.body) || this.#settlement.held.has(delivery)) return
    const { holdMs = NEVER, requeue } = this.#options.driver.capabilities
    const held = new Held(delivery, session, requeue ? this.#clock.now() + holdMs * 0.9 : NEVER)
    this.#settlement.add(held)
    this.#alarm.by(held.dueAt)
    this.#lanes.add(held)
    this.#schedule()
  }

  /** A session has ended by itself. What it delivered comes again. */
  lose(session: Session): void {
    session.over = true
    for (const held of this.#settlement.held.values()) {
      if (held.session !== session) continue
      if (held.phase === 'settling') this.#wakeAt(held, this.#clock.now() + ANSWER_MS)
      else this.#end(held, 'lost')
    }
    this.#pump()
  }

  /** Starts, or starts again. */
  resume(): void {
    this.#halted = false
    this.#handingBack = false
  }

  /** Starts no handler any more. */
  halt(): void {
    this.#halted = true
  }

  /** Gives back what is not running. What those give up that run can still reach the dead letters. */
  handBack(): void {
    this.#handingBack = true
    this.#options.deadLetters?.halt()
    for (const held of this.#settlement.held.values()) {
      if (held.phase !== 'waiting' && held.phase !== 'delayed') continue
      this.#withdraw(held)
      this.#settlement.giveBack(held)
    }
  }

  /** Resolves when no handler runs and no settlement is on its way. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      const previous = this.#idle
      this.#idle = () => {
        previous?.()
        resolve()
      }
      this.#checkIdle()
    })
  }

  /** Tells handlers that nobody waits for them any longer. */
  abort(reason: Failure): void {
    for (const { context } of this.#running)
      if (context !== undefined) Context.abort(context, new NotifyError(reason))
  }

  /** All subscriptions are closed, and what was unsettled has gone back with them. */
  finish(reason: Failure): void {
    this.#options.deadLetters?.close(reason)
    for (const held of this.#settlement.held.values()) {
      this.#end(held, held.phase === 'running' || held.phase === 'settling' ? 'lost' : 'requeued')
    }
    this.#alarm.clear()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    queueMicrotask(() => {
      this.#scheduled = false
      this.#pump()
    })
  }

  #pump(): void {
    if (this.#pumping || this.#halted) return
    this.#pumping = true
    for (;;) {
      const now = this.#clock.now()
      if (this.#burst > 0 && (this.#burst >= BURST_STARTS || now - this.#burstAt >= BURST_MS)) break
      const held = this.#lanes.take(now, this.#random, this.#settlement.settling)
      if (held === undefined) break
      if (this.#burst++ === 0) this.#beginBurst(now)
      this.#start(held)
      if (this.#halted) break
    }
    this.#pumping = false
    this.#alarm.by(this.#lanes.wakeAt)
  }

  /** Handlers that end at once never let go of the thread by themselves. */
  #beginBurst(now: number): void {
    this.#burstAt = now
    this.#clock.defer(() => {
      this.#burst = 0
      this.#pump()
    })
  }

  #start(held: Held): void {
    const { deliveries = 1 } = held.delivery
    const { maxDeliveries } = this.#options
    held.phase = 'running'
    held.dueAt = NEVER
    this.#running.add(held)
    let because: Failure | undefined
    if (deliveries > maxDeliveries) {
      because = failure(
        'UNKNOWN',
        'max-deliveries',
        `A message of ${held.session.destination.name} came ${deliveries} times.`,
      )
      // Where even being decoded seems to kill the process, it goes without its id.
      if (deliveries <= maxDeliveries + UNREAD_DELIVERIES) this.#runner.decode(held)
    } else because = this.#runner.start(held)
    if (because === undefined) return
    const { code, reason } = because
    this.#leaveSlot(held)
    this.#lanes.free(held)
    this.#settlement.bury(held, { code, reason, attempts: 0 }, because)
  }

  /** All that were due have run. What becomes of the message follows when each has ended. */
  #conclude(held: Held): void {
    let dueAt = NEVER
    for (const run of held.runs as Run[]) if (run.state === 'due') dueAt = Math.min(dueAt, run.dueAt)
    const decided = dueAt === NEVER
    this.#leaveSlot(held)
    if (decided || held.over || this.#handingBack) this.#lanes.free(held)
    if (held.over) this.#checkIdle()
    else if (decided) this.#decide(held)
    else if (this.#handingBack) this.#settlement.giveBack(held)
    else this.#delay(held, dueAt)
    this.#pump()
  }

  #decide(held: Held): void {
    const { runs = [], session } = held
    const failed = runs.filter(({ state }) => state === 'failed')
    if (failed.length > 0) {
      const verdict = verdictOf(failed)
      const message = `${held.eventType} (${held.messageId}) of ${session.destination.name} was given up after ${times(verdict.attempts)} of its handler.`
      this.#settlement.bury(held, verdict, { ...(failed[0]?.failure as Failure), message })
    } else if (runs.some(({ state }) => state === 'requeue')) {
      const delayMs = Math.max(...runs.map((run) => run.delayMs))
      this.#settlement.giveBackAfter(held, delayMs, () => this.#keep(held, delayMs))
    } else this.#settlement.ack(held, runs.some(({ state }) => state === 'done') ? 'acked' : 'unmatched')
  }

  /** A `Requeue` that cannot be had waits here. Its key is free, so it comes behind those that came meanwhile. */
  #keep(held: Held, delayMs: number): void {
    const requeued = (held.runs as Run[]).filter(({ state }) => state === 'requeue')
    if (this.#handingBack) this.#settlement.giveBack(held)
    else if (held.requeues++ >= this.#options.maxDeliveries) {
      for (const run of requeued) run.giveUp(failure('UNKNOWN', 'max-requeues'))
      this.#decide(held)
    } else {
      for (const run of requeued) run.again()
      const { attempts } = (requeued[0] as Run).handler
      this.#delay(
        held,
        this.#clock.now() + (delayMs > 0 ? delayMs : backoffMs(held.requeues, attempts, this.#clock)),
      )
    }
  }

  #leaveSlot(held: Held): void {
    this.#running.delete(held)
    this.#lanes.leave(held)
  }

  #delay(held: Held, until: number): void {
    held.phase = 'delayed'
    this.#wakeAt(held, Math.min(until, held.giveBackAt))
  }

  #wakeAt(held: Held, time: number): void {
    held.dueAt = time
    this.#alarm.by(time)
  }

  #withdraw(held: Held): void {
    this.#lanes.remove(held)
    this.#lanes.free(held)
  }

  #end(held: Held, outcome: 'lost' | 'requeued'): void {
    if (held.phase !== 'running') this.#withdraw(held)
    this.#settlement.end(held, outcome)
  }

  #ring(): void {
    const now = this.#clock.now()
    for (const held of this.#running) if (held.dueAt <= now) this.#runner.timeOut(held)
    for (const held of this.#settlement.held.values())
      if (held.dueAt <= now && held.phase !== 'running') this.#due(held, now)
    for (const held of this.#running) this.#alarm.by(held.dueAt)
    for (const held of this.#settlement.held.values()) this.#alarm.by(held.dueAt)
    this.#pump()
  }

  #due(held: Held, now: number): void {
    if (held.phase === 'settling') this.#settlement.end(held, 'lost')
    else if (held.giveBackAt <= now) {
      this.#withdraw(held)
      this.#settlement.giveBackInTime(held)
    } else {
      held.phase = 'waiting'
      held.dueAt = held.giveBackAt
      this.#lanes.add(held)
    }
  }

  #settled(): void {
    // One that may kill the process has waited for it.
    if (this.#lanes.suspects && this.#settlement.settling === 0) this.#schedule()
    this.#checkIdle()
  }

  #checkIdle(): void {
    if (this.#idle === undefined || this.#running.size > 0) return
    for (const { phase } of this.#settlement.held.values())
      if (phase === 'settling' || phase === 'dead') return
    const idle = this.#idle
    this.#idle = undefined
    idle()
  }
}

const times = (attempts: number) => `${attempts} attempt${attempts === 1 ? '' : 's'}`
