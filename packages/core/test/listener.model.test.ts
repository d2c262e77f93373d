import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Reject, Requeue, Retry } from '../src/control.ts'
import { DeadLetters } from '../src/deadletter.ts'
import { Dispatch } from '../src/dispatch.ts'
import type { Delivery, Driver, OutboundMessage, Settle } from '../src/driver.ts'
import type { Envelope } from '../src/envelope.ts'
import type { Failure } from '../src/errors.ts'
import type { HandlerContext } from '../src/handlers.ts'
import { Lanes } from '../src/lanes.ts'
import type { Listener } from '../src/listener.ts'
import { Runner } from '../src/runner.ts'
import { Settlement } from '../src/settlement.ts'
import { FakeClock } from './support/clock.ts'
import { Bench, broken, encode, type ScriptedDelivery, type ScriptedSubscription } from './support/consumer.ts'

// Random programs over a driver and handlers that do whatever the program says, on a clock that only the program
// moves. After each step the sums are compared with a tally of the test's own, and the order of keys and the bounds
// are checked; at the end, with a broker that is well and handlers that succeed, everything has to have ended.

const RUNS = Number(process.env.NOTIFY_MODEL_RUNS ?? 2_000)
const CONCURRENCY = 9
const RESERVED = 1
const PREFETCH = 50
const ATTEMPTS = { max: 3, minMs: 10, maxMs: 100, withinMs: 10_000 }
const TIMEOUT_MS = 2_000
const MAX_DELIVERIES = 6

/** What one run of a handler does. `later` goes on until a step ends it. */
type Deed = 'ok' | 'okSoon' | 'throw' | 'throwSoon' | 'reject' | 'requeue' | 'requeueLater' | 'retry' | 'later'
/** How a settlement is answered. */
type Reply = 'true' | 'false' | 'garbage' | 'reject' | 'throw' | 'never'
type Publishing = 'confirm' | 'hold' | 'away' | 'busy' | 'refuse' | 'throw' | 'password'

type Step =
  | {
      do: 'deliver'
      to: string
      event_type: string
      key: string | undefined
      deeds: Deed[]
      deliveries: number
      reply: Reply
    }
  | { do: 'corrupt'; to: string }
  | { do: 'twice'; pick: number }
  | { do: 'finish'; pick: number; deed: Deed }
  | { do: 'advance'; ms: number }
  | { do: 'end'; to: string; failure: Failure | undefined }
  | { do: 'publishing'; how: Publishing }
  | { do: 'settle'; pick: number; how: 'confirm' | 'fail' }
  | { do: 'stop'; timeoutMs: number }

const destination = fc.constantFrom('a.info', 'a.info', 'a.critical', 'b.info', 'b.debug')
const deed = fc.constantFrom<Deed>(
  ...(['ok', 'ok', 'okSoon', 'okSoon', 'throw', 'throwSoon', 'reject', 'requeue', 'requeueLater', 'retry', 'later', 'later'] as const),
)
const reply = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Reply>('true') },
  { weight: 1, arbitrary: fc.constantFrom<Reply>('false', 'garbage', 'reject', 'throw', 'never') },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('deliver' as const),
      to: destination,
      event_type: fc.constantFrom('one', 'one', 'both', 'none'),
      key: fc.constantFrom(undefined, undefined, 'k', 'l'),
      deeds: fc.array(deed, { maxLength: 4 }),
      deliveries: fc.constantFrom(1, 1, 1, 1, 2, 4, 7),
      reply,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('corrupt' as const), to: destination }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('twice' as const), pick: fc.nat(31) }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('finish' as const), pick: fc.nat(31), deed }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(0, 5, 100, 1_000, 4_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('end' as const),
      to: destination,
      failure: fc.constantFrom(undefined, broken('UNAVAILABLE'), broken('FORBIDDEN', { scope: 'transport' })),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('publishing' as const),
      how: fc.constantFrom<Publishing>('confirm', 'confirm', 'hold', 'away', 'busy', 'refuse', 'throw', 'password'),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      pick: fc.nat(31),
      how: fc.constantFrom('confirm' as const, 'fail' as const),
    }),
  },
  { weight: 0.3, arbitrary: fc.record({ do: fc.constant('stop' as const), timeoutMs: fc.constantFrom(0, 100, 10_000) }) },
)
const plan = fc.record({
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
  seed: fc.nat(),
  requeue: fc.boolean(),
  delay: fc.boolean(),
  holds: fc.boolean(),
  deadLetters: fc.constantFrom(true, true, true, false),
  timeouts: fc.boolean(),
})
type Plan = typeof plan extends fc.Arbitrary<infer T> ? T : never

/** One call of a handler that goes on. */
interface Going {
  readonly message: Tracked
  readonly handler: number
  readonly since: number
  readonly signal: AbortSignal
  end(deed: Deed): void
}

/** What the test knows of one delivery. */
class Tracked {
  readonly id: string
  readonly to: string
  readonly key: string | undefined
  readonly event_type: string
  readonly deeds: Deed[]
  readonly suspect: boolean
  readonly unrun: boolean
  readonly reply: Reply
  delivery!: ScriptedDelivery
  session!: ScriptedSubscription
  /** Successes of each handler, and its runs. */
  readonly done = [0, 0]
  readonly runs = [0, 0]
  /** Its session ended when it was neither settled nor being settled. */
  lost = false
  confirmed = false
  /** When its handlers had nothing more to do with it, or it went back. */
  decided = false
  /** A settlement was asked for. */
  asked: 'ack' | 'requeue' | undefined
  askedAt = 0
  /** What it was answered. */
  answered: boolean | undefined

  constructor(id: string, step: Extract<Step, { do: 'deliver' }>) {
    this.id = id
    this.to = step.to
    this.key = step.key
    this.event_type = step.event_type
    this.deeds = [...step.deeds]
    this.reply = step.reply
    this.suspect = step.deliveries >= 4
    this.unrun = step.deliveries > MAX_DELIVERIES
  }
}
