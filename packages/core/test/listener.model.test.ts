import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { OutboundMessage, Settle, Status } from '../src/driver.ts'
import type { Envelope } from '../src/envelope.ts'
import type { Failure } from '../src/errors.ts'
import { Reject, Requeue, Retry } from '../src/listener/control.ts'
import { DeadLetters } from '../src/listener/deadletter.ts'
import { Dispatch } from '../src/listener/dispatch.ts'
import type { HandlerContext } from '../src/listener/handlers.ts'
import type { Held } from '../src/listener/held.ts'
import { Lanes } from '../src/listener/lanes.ts'
import type { ListenerStats } from '../src/listener/listener.ts'
import { Runner } from '../src/listener/runner.ts'
import { Settlement } from '../src/listener/settlement.ts'
import { FakeClock } from './support/clock.ts'
import {
  Bench,
  broken,
  encode,
  type ScriptedDelivery,
  type ScriptedSubscription,
} from './support/consumer.ts'

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
type Deed =
  | 'ok'
  | 'okSoon'
  | 'throw'
  | 'throwSoon'
  | 'reject'
  | 'requeue'
  | 'requeueLater'
  | 'retry'
  | 'later'
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
  | { do: 'burst'; to: string }
  | { do: 'twice'; pick: number }
  | { do: 'finish'; pick: number; deed: Deed }
  | { do: 'advance'; ms: number }
  | { do: 'end'; to: string; failure: Failure | undefined }
  | { do: 'publishing'; how: Publishing }
  | { do: 'settle'; pick: number; how: 'confirm' | 'fail' }
  | { do: 'subscribing'; how: keyof typeof SUBSCRIBING }
  | { do: 'status'; state: Status['state'] }
  | { do: 'stop'; timeoutMs: number }

/** What becomes of the next attempts to subscribe. */
const SUBSCRIBING = {
  well: undefined,
  fails: () => Promise.reject(broken('UNAVAILABLE')),
  forbidden: () => Promise.reject(broken('FORBIDDEN')),
  throws: () => {
    throw new Error('subscribe throws')
  },
  nothing: () => Promise.resolve(null),
  ends: () => undefined,
} as const

const destination = fc.constantFrom('a.info', 'a.info', 'a.critical', 'b.info', 'b.debug')
const deed = fc.constantFrom<Deed>(
  ...([
    'ok',
    'ok',
    'okSoon',
    'okSoon',
    'throw',
    'throwSoon',
    'reject',
    'requeue',
    'requeueLater',
    'retry',
    'later',
    'later',
  ] as const),
)
const reply = fc.oneof(
  { weight: 6, arbitrary: fc.constant<Reply>('true') },
  { weight: 1, arbitrary: fc.constantFrom<Reply>('false', 'garbage', 'reject', 'throw', 'never') },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 36,
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
  { weight: 3, arbitrary: fc.record({ do: fc.constant('corrupt' as const), to: destination }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('burst' as const), to: destination }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('twice' as const), pick: fc.nat(31) }) },
  { weight: 24, arbitrary: fc.record({ do: fc.constant('finish' as const), pick: fc.nat(31), deed }) },
  {
    weight: 15,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 5, 100, 1_000, 4_000),
    }),
  },
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
      how: fc.constantFrom<Publishing>(
        'confirm',
        'confirm',
        'hold',
        'away',
        'busy',
        'refuse',
        'throw',
        'password',
      ),
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
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('subscribing' as const),
      how: fc.constantFrom(...(Object.keys(SUBSCRIBING) as (keyof typeof SUBSCRIBING)[]), 'well' as const),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('status' as const),
      state: fc.constantFrom<Status['state']>('up', 'down', 'blocked'),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('stop' as const), timeoutMs: fc.constantFrom(0, 100, 10_000) }),
  },
)
const plan = fc.record({
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
  seed: fc.nat(),
  requeue: fc.boolean(),
  delay: fc.boolean(),
  holds: fc.boolean(),
  deadLetters: fc.constantFrom(true, true, true, false),
  timeouts: fc.boolean(),
  /** Handlers that nothing else is said about take their time: all slots are taken before long. */
  slow: fc.boolean(),
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

/** How one handler stands with one message. `retry`: it failed and will run again. `failed`: for good. */
type State = 'never' | 'going' | 'done' | 'retry' | 'failed' | 'requeue'

type Fate = 'acked' | 'dead' | 'dropped' | 'unmatched' | 'requeued' | 'lost' | 'pending'

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
  readonly session: ScriptedSubscription
  delivery!: ScriptedDelivery
  /** The handlers that match it, and how each stands. */
  readonly matching: readonly number[]
  readonly states: State[] = ['never', 'never']
  readonly fails = [0, 0]
  /** Its session ended before it was settled. */
  lost = false
  /** Its dead letter is stored. */
  confirmed = false
  asked: 'ack' | 'requeue' | undefined
  answered: boolean | undefined
  /** What it was when the listener had stopped. */
  final: Fate | undefined

  constructor(id: string, step: Extract<Step, { do: 'deliver' }>, session: ScriptedSubscription) {
    this.id = id
    this.to = step.to
    this.key = step.key
    this.event_type = step.event_type
    this.deeds = [...step.deeds]
    this.reply = step.reply
    this.suspect = step.deliveries >= 4
    this.unrun = step.deliveries > MAX_DELIVERIES
    this.session = session
    this.matching = step.event_type === 'both' ? [0, 1] : step.event_type === 'one' ? [0] : []
  }
}

/** One program: a listener, its driver, and everything the test knows about them. */
class World {
  readonly clock: FakeClock
  readonly bench: Bench
  readonly plan: Plan
  readonly all: Tracked[] = []
  readonly byId = new Map<string, Tracked>()
  readonly going: Going[] = []
  readonly letters: { message: OutboundMessage; settle: Settle }[] = []
  publishing: Publishing = 'confirm'
  slow: boolean
  stopping: Promise<ListenerStats> | undefined
  stoppedAt: number | undefined
  readonly #ends = new Map<ScriptedSubscription, number>()
  /** What must not have happened, noted where no test can see a throw. */
  readonly wrong: string[] = []

  constructor(plan: Plan) {
    this.plan = plan
    this.slow = plan.slow
    this.clock = new FakeClock(plan.seed)
    const handler = (index: number) => (n: Envelope, context: HandlerContext) =>
      this.#handle(index, n, context)
    this.bench = new Bench(
      {
        topics: ['a', 'b'],
        handlers: [
          { event_type: '[ob]*', priorities: ['DEBUG', 'INFO', 'CRITICAL'], handle: handler(0) },
          { event_type: 'both', where: (n) => n.event_type === 'both', handle: handler(1) },
        ],
        concurrency: CONCURRENCY,
        prefetch: PREFETCH,
        maxDeliveries: MAX_DELIVERIES,
        attempts: ATTEMPTS,
        deadLetters: plan.deadLetters,
        handlerTimeoutMs: plan.timeouts ? TIMEOUT_MS : undefined,
      },
      {
        clock: this.clock,
        capabilities: {
          requeue: plan.requeue,
          delay: plan.delay ? { maxMs: 60_000 } : false,
          ...(plan.holds ? { holdMs: 20_000 } : {}),
        },
      },
    )
    this.bench.driver.onPublish = (batch, settle) => this.#publish(batch, settle)
  }

  async do(step: Step): Promise<void> {
    const { driver } = this.bench
    switch (step.do) {
      case 'deliver':
      case 'corrupt': {
        const session = driver.subscription(step.to)
        if (session.over || session.paused || this.#unsettled(session) >= PREFETCH) return
        this.#deliver(session, step)
        break
      }
      case 'burst': {
        const session = driver.subscription(step.to)
        const plain = { event_type: 'one', key: undefined, deeds: [], deliveries: 1, reply: 'true' } as const
        for (let index = 0; index < 2 * CONCURRENCY; index++) {
          if (session.over || session.paused || this.#unsettled(session) >= PREFETCH) break
          this.#deliver(session, { ...plain, do: 'deliver', to: step.to, deeds: [] })
        }
        break
      }
      case 'twice': {
        const message = this.all[step.pick % this.all.length]
        if (message === undefined) return
        const { session, delivery } = message
        if (session.over || this.fate(message) === 'pending') session.onDelivery(delivery)
        break
      }
      case 'finish':
        this.going[step.pick % this.going.length]?.end(step.deed)
        break
      case 'advance':
        await this.clock.advance(step.ms)
        break
      case 'end': {
        const session = driver.subscription(step.to)
        if (session.over) return
        session.end(step.failure)
        this.#lose(session)
        break
      }
      case 'publishing':
        this.publishing = step.how
        break
      case 'settle':
        this.settle(step.pick, step.how === 'confirm')
        break
      case 'subscribing':
        driver.onSubscribe = (subscription) => {
          // What is not handed out delivers nothing.
          if (step.how !== 'well') subscription.end(broken('UNAVAILABLE'))
          return SUBSCRIBING[step.how]?.()
        }
        break
      case 'status':
        driver.status({ state: step.state })
        break
      case 'stop':
        this.stop(step.timeoutMs)
        break
    }
    await this.clock.settle()
  }

  stop(timeoutMs: number): Promise<ListenerStats> {
    this.stopping ??= this.bench.listener.stop({ timeoutMs }).then((report) => {
      this.stoppedAt = this.clock.now()
      for (const message of this.all) message.final = this.fate(message)
      return report
    })
    return this.stopping
  }

  get stopped(): boolean {
    return this.stoppedAt !== undefined
  }

  settle(pick: number, confirm: boolean): void {
    const [letter] = this.letters.splice(pick % this.letters.length, 1)
    if (letter === undefined) return
    if (confirm) this.#confirm(letter.message)
    letter.settle(letter.message, confirm ? undefined : broken('UNAVAILABLE'))
    letter.settle(letter.message, broken('UNKNOWN'))
  }

  /** What became of a message, by what the driver saw. */
  fate(message: Tracked): Fate {
    if (message.final !== undefined) return message.final
    if (message.lost || message.answered === false) return 'lost'
    if (message.asked !== undefined && message.answered === undefined) {
      const late = message.session.over && this.clock.now() - this.#overAt(message.session) >= 5_000
      return late || this.stopped ? 'lost' : 'pending'
    }
    if (message.asked === 'requeue') return 'requeued'
    if (message.asked === undefined) {
      if (!this.stopped) return 'pending'
      return this.going.some((going) => going.message === message && !this.#timedOut(going))
        ? 'lost'
        : 'requeued'
    }
    if (this.failed(message)) return this.plan.deadLetters ? 'dead' : 'dropped'
    return message.matching.length === 0 ? 'unmatched' : 'acked'
  }

  check(when: string): void {
    const { listener } = this.bench
    const stats = listener.stats()
    expect(this.wrong, when).toEqual([])
    expect(this.bench.imbalance, `${when}: the law`).toBe(0)
    const tally = { acked: 0, dead: 0, dropped: 0, unmatched: 0, requeued: 0, lost: 0, pending: 0 }
    for (const message of this.all) tally[this.fate(message)]++
    expect(stats, when).toMatchObject({ received: this.all.length, ...tally })
    expect(stats.running, `${when}: slots`).toBe(this.going.filter((going) => !this.#timedOut(going)).length)
  }

  /** Given up for good: by its bytes, by the crash guard, or by a handler. */
  failed(message: Tracked): boolean {
    return (
      message.event_type === 'corrupt' ||
      message.unrun ||
      message.matching.some((h) => this.state(message, h) === 'failed')
    )
  }

  /** How one handler stands with a message. */
  state(message: Tracked, handler: number): State {
    const state = message.states[handler] as State
    const going = this.going.find((other) => other.message === message && other.handler === handler)
    if (state !== 'going' || going === undefined || !this.#timedOut(going)) return state
    return (message.fails[handler] as number) + 1 >= ATTEMPTS.max ? 'failed' : 'retry'
  }

  #deliver(session: ScriptedSubscription, step: Extract<Step, { do: 'deliver' | 'corrupt' }>): void {
    const id = `m${this.all.length}`
    const full: Extract<Step, { do: 'deliver' }> =
      step.do === 'deliver'
        ? step
        : {
            do: 'deliver',
            to: step.to,
            event_type: 'corrupt',
            key: undefined,
            deeds: [],
            deliveries: 1,
            reply: 'true',
          }
    const message = new Tracked(id, full, session)
    const body =
      step.do === 'corrupt' ? new Uint8Array([123]) : encode({ message_id: id, event_type: full.event_type })
    this.all.push(message)
    this.byId.set(id, message)
    const { key, deliveries } = full
    message.delivery = session.make({ body, deliveries, ...(key === undefined ? {} : { key }) })
    message.delivery.onSettle = (how) => this.#asked(message, how)
    session.onDelivery(message.delivery)
  }

  #asked(message: Tracked, how: 'ack' | 'requeue'): unknown {
    const note = (what: string) => this.wrong.push(`${message.id}: ${what}`)
    if (message.asked !== undefined) note(`${how} after ${message.asked}`)
    if (message.lost) note(`${how} after it was lost`)
    if (this.going.some((going) => going.message === message && !this.#timedOut(going)))
      note(`${how} while its handler runs`)
    const states = message.matching.map((handler) => this.state(message, handler))
    const dead = this.failed(message)
    if (how === 'ack') {
      if (dead && this.plan.deadLetters && !message.confirmed)
        note('acknowledged before its dead letter was confirmed')
      if (!dead && states.some((state) => state !== 'done')) note(`acknowledged with ${states.join()}`)
      if (
        dead &&
        !message.unrun &&
        states.some((state) => state !== 'done' && state !== 'failed' && state !== 'requeue')
      ) {
        note(`given up with ${states.join()}`)
      }
    }
    message.asked = how
    const { reply, session } = message
    message.answered = reply === 'never' ? undefined : reply === 'true' && !session.over
    if (reply === 'throw') throw new Error('settling fails')
    if (reply === 'never') return new Promise(() => {})
    if (reply === 'reject') return Promise.reject(new Error('settling fails'))
    return Promise.resolve(reply === 'garbage' ? 'yes' : message.answered)
  }

  #publish(batch: readonly OutboundMessage[], settle: Settle): void {
    for (const message of batch) {
      const original = this.all.find(({ delivery }) => delivery.body === message.body)
      if (original === undefined) this.wrong.push(`a dead letter of nothing: ${message.id}`)
      else if (!this.failed(original))
        this.wrong.push(`${original.id}: a dead letter although nothing failed`)
      else if (message.destination.name !== original.to.replace('.', '.dead.'))
        this.wrong.push(`${original.id}: to ${message.destination.name}`)
    }
    const how = this.publishing
    if (how === 'throw') throw new Error('publish throws')
    for (const message of batch) {
      if (how === 'hold') this.letters.push({ message, settle })
      else if (how === 'confirm') {
        this.#confirm(message)
        settle(message)
      } else settle(message, REFUSALS[how])
    }
  }

  #confirm(letter: OutboundMessage): void {
    const original = this.all.find(({ delivery }) => delivery.body === letter.body)
    if (original !== undefined) original.confirmed = true
  }

  #handle(handler: number, n: Envelope, context: HandlerContext): unknown {
    const message = this.byId.get(n.message_id) as Tracked
    const note = (what: string) => this.wrong.push(`${message.id}: ${what}`)
    this.#checkStart(message, handler, context, note)
    // A handler may look at the sums whenever it likes.
    if (this.bench.imbalance !== 0) note('the law is broken from within a handler')
    message.states[handler] = 'going'
    const deed = message.deeds.shift() ?? (this.slow ? 'later' : 'ok')
    if (deed === 'later') return this.#later(message, handler, context)
    if (deed !== 'okSoon' && deed !== 'throwSoon') return this.#end(message, handler, deed)
    return Promise.resolve().then(() => this.#end(message, handler, deed === 'okSoon' ? 'ok' : 'throw'))
  }

  #later(message: Tracked, handler: number, { signal }: HandlerContext): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const going: Going = {
        message,
        handler,
        since: this.clock.now(),
        signal,
        end: (deed) => {
          this.going.splice(this.going.indexOf(going), 1)
          const late = this.#timedOut(going)
          if (late !== signal.aborted && !this.stopped)
            this.wrong.push(`${message.id}: its signal says ${signal.aborted}`)
          if (late) {
            message.fails[handler] = (message.fails[handler] as number) + 1
            message.states[handler] = (message.fails[handler] as number) >= ATTEMPTS.max ? 'failed' : 'retry'
            resolve('late')
            return
          }
          try {
            resolve(this.#end(message, handler, deed))
          } catch (error) {
            reject(error as Error)
          }
        },
      }
      this.going.push(going)
    })
  }

  #end(message: Tracked, handler: number, deed: Deed): unknown {
    const fails = (message.fails[handler] as number) + 1
    if (deed === 'ok' || deed === 'okSoon' || deed === 'later') {
      message.states[handler] = 'done'
      return undefined
    }
    if (deed === 'requeue' || deed === 'requeueLater') {
      message.states[handler] = 'requeue'
      throw new Requeue(deed === 'requeue' ? {} : { delayMs: 500 })
    }
    message.fails[handler] = fails
    message.states[handler] = deed === 'reject' || fails >= ATTEMPTS.max ? 'failed' : 'retry'
    if (deed === 'reject') throw new Reject('no')
    throw deed === 'retry' ? new Retry({ delayMs: 700 }) : new Error('the handler fails')
  }

  #checkStart(
    message: Tracked,
    handler: number,
    { attempt }: HandlerContext,
    note: (what: string) => void,
  ): void {
    const going = this.going.filter((other) => !this.#timedOut(other))
    // A run that timed out has failed, whenever it ends.
    const stale = this.going.find((other) => other.message === message && other.handler === handler)
    if (stale !== undefined) this.going.splice(this.going.indexOf(stale), 1)
    if (stale !== undefined) {
      message.fails[handler] = (message.fails[handler] as number) + 1
      message.states[handler] = 'retry'
    }
    const state = message.states[handler]
    if (state === 'done' || state === 'failed' || state === 'going')
      note(`handler ${handler} run again when ${state}`)
    if (attempt !== (message.fails[handler] as number) + 1)
      note(`attempt ${attempt} after ${message.fails[handler]} failures`)
    if (message.asked !== undefined || message.lost) note('handled after it was settled or lost')
    if (message.unrun) note('handled above maxDeliveries')
    // The handlers that come after one that runs are still run. The first one begins a new turn.
    const fresh = message.states.every((each) => each === 'never')
    if (this.stopping !== undefined && (fresh || handler === 0)) note('started by a listener that stops')
    if (going.length >= CONCURRENCY) note(`handled beside ${going.length} others`)
    const ordinary = going.filter((other) => !other.message.to.endsWith('critical')).length
    if (!message.to.endsWith('critical') && ordinary >= CONCURRENCY - RESERVED) note('took a reserved slot')
    if (this.plan.timeouts) {
      if (message.suspect && going.some((other) => other.message !== message)) note('a suspect beside others')
      if (going.some((other) => other.message.suspect && other.message !== message)) note('beside a suspect')
    }
    if (message.key !== undefined) this.#checkKey(message, note)
  }

  #checkKey(message: Tracked, note: (what: string) => void): void {
    const order = this.all.indexOf(message)
    this.all.forEach((other, index) => {
      if (other === message || other.key !== message.key || other.to !== message.to) return
      const states = other.matching.map((handler) => this.state(other, handler))
      if (states.includes('going')) note(`overlaps ${other.id} of its key`)
      const over = other.lost || other.asked !== undefined || this.failed(other)
      if (states.includes('retry') && !over) note(`overtakes ${other.id}, which waits for a retry`)
      if (index < order && states.some((state) => state === 'never') && !over)
        note(`overtakes ${other.id} of its key`)
    })
  }

  #unsettled(session: ScriptedSubscription): number {
    return this.all.filter(
      (message) => message.session === session && message.asked === undefined && !message.lost,
    ).length
  }

  #lose(session: ScriptedSubscription): void {
    this.#ends.set(session, this.clock.now())
    for (const message of this.all)
      if (message.session === session && message.asked === undefined) message.lost = true
  }

  #overAt(session: ScriptedSubscription): number {
    return this.#ends.get(session) ?? Number.POSITIVE_INFINITY
  }

  #timedOut({ since }: Going): boolean {
    return (
      this.plan.timeouts &&
      this.clock.now() - since >= TIMEOUT_MS &&
      since + TIMEOUT_MS <= (this.stoppedAt ?? Number.POSITIVE_INFINITY)
    )
  }
}

const REFUSALS: Record<Exclude<Publishing, 'confirm' | 'hold' | 'throw'>, Failure> = {
  away: broken('UNAVAILABLE', { scope: 'transport' }),
  busy: broken('THROTTLED', { scope: 'message' }),
  refuse: broken('INVALID', { scope: 'message' }),
  password: broken('UNAUTHENTICATED', { scope: 'transport' }),
}

async function run(plan: Plan): Promise<void> {
  const world = new World(plan)
  const { bench, clock } = world
  const { listener, driver } = bench
  await bench.start()
  for (const [index, step] of plan.steps.entries()) {
    await world.do(step)
    world.check(`step ${index}, ${step.do}`)
  }
  world.publishing = 'confirm'
  world.slow = false
  driver.onSubscribe = undefined
  driver.status({ state: 'up' })
  if (world.stopping === undefined) {
    for (let turn = 0; turn < 30; turn++) {
      while (world.letters.length > 0) world.settle(0, true)
      for (const going of [...world.going]) going.end('ok')
      await clock.advance(4_000)
    }
    world.check('the end')
    const unanswered = world.all.filter(
      (message) => message.asked !== undefined && world.fate(message) === 'pending',
    )
    expect(listener.stats().pending, 'pending although all is well').toBe(unanswered.length)
    for (const { source } of driver.subscriptions) {
      expect(
        driver.subscription(source.destination.name).over,
        `${source.destination.name} is consumed`,
      ).toBe(false)
    }
  }
  const stopping = world.stop(1_000)
  await clock.advance(10_250)
  expect(world.stopped, 'stop() in time').toBe(true)
  world.check('stopped')
  const report = await stopping
  expect(report.pending, 'pending after stop()').toBe(0)
  for (const going of [...world.going]) going.end('throw')
  await clock.settle()
  expect(listener.stats()).toEqual({ ...report, running: 0 })
  expect(bench.imbalance).toBe(0)
  expect(clock.timers, 'timers after stop()').toBe(0)
  expect(driver.observers, 'observers after stop()').toBe(0)
  expect(driver.closes).toBe(1)
  expect(
    driver.subscriptions.filter(({ over }) => !over),
    'consumers after stop()',
  ).toEqual([])
}

test('law, bounds, order and end hold for any program', { timeout: 300_000 }, async () => {
  await fc.assert(fc.asyncProperty(plan, run), {
    numRuns: RUNS,
    ...(process.env.NOTIFY_MODEL_SEED === undefined ? {} : { seed: Number(process.env.NOTIFY_MODEL_SEED) }),
  })
})

describe('the model finds a planted bug', () => {
  const plants: Record<string, () => () => void> = {
    'a slot that is not given back': () => {
      let count = 0
      return replace(
        Lanes.prototype,
        'leave',
        (original) =>
          function (this: Lanes<Held>, item) {
            if (++count % 5 !== 0) original.call(this, item)
          },
      )
    },
    'a key overtaken': () =>
      replace(
        Lanes.prototype,
        'add',
        (original) =>
          function (this: Lanes<Held>, item) {
            item.holdsKey = item.key !== undefined
            original.call(this, item)
          },
      ),
    'a retry that lets go of its key': () =>
      replace(
        Lanes.prototype,
        'leave',
        (original) =>
          function (this: Lanes<Held>, item) {
            original.call(this, item)
            this.free(item)
          },
      ),
    'a reserved slot given away': () =>
      replace(
        Lanes.prototype,
        'queue',
        (original) =>
          function (this: Lanes<Held>, priority) {
            const queue = original.call(this, priority)
            Object.assign(queue.lane, { urgent: true })
            return queue
          },
      ),
    'a suspect beside others': () =>
      replace(
        Lanes.prototype,
        'add',
        (original) =>
          function (this: Lanes<Held>, item) {
            Object.assign(item, { suspect: false })
            original.call(this, item)
          },
      ),
    'a message acknowledged before its dead letter is stored': () =>
      replace(
        DeadLetters.prototype,
        'send',
        (original) =>
          function (this: DeadLetters, ...call) {
            const letter = original.apply(this, call)
            call[4].confirmed()
            return letter
          },
      ),
    'a lost message counted as acknowledged': () =>
      replace(
        Settlement.prototype,
        'end',
        (original) =>
          function (this: Settlement, held, outcome) {
            original.call(this, held, outcome === 'lost' ? 'acked' : outcome)
          },
      ),
    'a handler run again after it succeeded': () =>
      replace(
        Runner.prototype,
        'start',
        (original) =>
          function (this: Runner, held) {
            for (const run of held.runs ?? []) run.state = 'due'
            return original.call(this, held)
          },
      ),
    'an ended subscription that nobody notices': () => replace(Dispatch.prototype, 'lose', () => () => {}),
  }

  for (const [name, plant] of Object.entries(plants)) {
    test(name, { timeout: 300_000 }, async () => {
      const remove = plant()
      try {
        const details = await fc.check(fc.asyncProperty(plan, run), { numRuns: RUNS, endOnFailure: true })
        expect(details.failed, `${details.numRuns} runs did not notice`).toBe(true)
      } finally {
        remove()
      }
    })
  }
})

/** Replaces a method, and returns what puts it back. */
function replace<T extends object, K extends keyof T>(
  target: T,
  name: K,
  make: (original: T[K]) => T[K],
): () => void {
  const original = target[name]
  target[name] = make(original)
  return () => {
    target[name] = original
  }
}
