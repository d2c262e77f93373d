import type { Delivery, Destination } from '../driver.ts'
import type { Envelope } from '../envelope.ts'
import type { Failure } from '../errors.ts'
import type { Letter } from './deadletter.ts'
import type { Item, Queue } from './lanes.ts'
import type { Context, Run } from './run.ts'

/** A delivery that came this often may be what killed the process: it runs alone. */
const SUSPECT_DELIVERIES = 4

/** What one subscription delivers belongs together: it is lost together. */
export interface Session {
  readonly destination: Destination
  readonly queue: Queue<Held>
  over: boolean
}

/** What can become of a delivery. */
export interface Outcomes {
  /** Every handler that matched has succeeded. */
  readonly acked: number
  /** In the dead letters. */
  readonly dead: number
  /** Given up, with `deadLetters: false`. */
  readonly dropped: number
  /** No handler matched: acknowledged. */
  readonly unmatched: number
  /** Given back: by `Requeue`, when the listener stopped, or because the transport would not hold it any longer. */
  readonly requeued: number
  /** Its subscription ended before it was settled, or settling it was of no avail: it comes again. */
  readonly lost: number
}

export interface Decoded {
  readonly envelope: Envelope
  readonly extra?: object
}

/** One delivery, from its receipt until it is settled. */
export class Held implements Item<Held> {
  previous: Held | undefined
  next: Held | undefined
  list: object | undefined
  holdsKey = false
  readonly queue: Queue<Held>
  readonly key: string | undefined
  readonly suspect: boolean

  readonly delivery: Delivery
  readonly session: Session
  /** When it has to be given back, because the transport will not hold it much longer. */
  readonly giveBackAt: number
  /** `left`: unsettled until the subscription closes. */
  phase: 'waiting' | 'running' | 'delayed' | 'dead' | 'settling' | 'left' = 'waiting'
  /** Counted among the outcomes. Its handler may still be running. */
  over = false
  /** When something is to happen to it that nothing else will bring about. */
  dueAt: number
  runs: Run[] | undefined
  /** The run that is next in this turn. */
  turn = 0
  run: Run | undefined
  /** Of the run that goes on by itself. */
  context: Context | undefined
  /** Decoded, and not yet in anybody's hands. */
  fresh: Decoded | undefined
  messageId: string | undefined
  eventType: string | undefined
  requeues = 0
  letter: Letter | undefined
  /** What is told when it ends among the dead. */
  failure: Failure | undefined

  constructor(delivery: Delivery, session: Session, giveBackAt: number) {
    this.delivery = delivery
    this.session = session
    this.queue = session.queue
    this.key = typeof delivery.key === 'string' ? delivery.key : undefined
    this.suspect = (delivery.deliveries ?? 1) >= SUSPECT_DELIVERIES
    this.giveBackAt = giveBackAt
    this.dueAt = giveBackAt
  }
}
