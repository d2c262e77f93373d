import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Driver, OutboundMessage, Settle, Status } from '../src/driver.ts'
import type { Failure } from '../src/errors.ts'
import { createNotifier, isNotifyError, type NotifyError, PRIORITIES, type Priority } from '../src/index.ts'
import type { Emission, Receipt } from '../src/notifier/emission.ts'
import { Buffer } from '../src/sender/buffer.ts'
import type { Call } from '../src/sender/call.ts'
import { Gate } from '../src/sender/gate.ts'
import { Lane, move } from '../src/sender/lane.ts'
import { Window } from '../src/sender/window.ts'
import { FakeClock } from './support/clock.ts'

// Random programs over a driver that does whatever the program says, on a clock that only the program moves.
// After each step the sums are compared with a tally of the test's own, and the bounds and the order of keys
// are checked; at the end, with a driver that confirms, everything has to have ended.

const RUNS = Number(process.env.NOTIFY_MODEL_RUNS ?? 2_000)
const BUFFER = 8
const WINDOW = 4
const ATTEMPT_MS = 3_000
const TIMEOUT_MS = 20_000

type Outcome = keyof typeof OUTCOMES
type Step =
  | {
      do: 'emit'
      priority: number
      key: string | undefined
      topic: string
      timeoutMs: number
      abortable: boolean
      times: number
    }
  | { do: 'settle'; pick: number; outcome: Outcome }
  | { do: 'settleTwice'; pick: number }
  | { do: 'throw' }
  | { do: 'advance'; ms: number }
  | { do: 'status'; state: Status['state'] }
  | { do: 'abort'; pick: number }
  | { do: 'flush' }

const base = { retryable: true, maybeSent: false, scope: 'message' } as const
const OUTCOMES = {
  confirmed: undefined,
  throttled: { ...base, code: 'THROTTLED' },
  invalid: { ...base, code: 'INVALID', retryable: false },
  destination: { ...base, code: 'UNAVAILABLE', scope: 'destination' },
  lost: { ...base, code: 'UNAVAILABLE', scope: 'transport', maybeSent: true },
  advised: { ...base, code: 'THROTTLED', scope: 'transport', retryAfterMs: 700 },
  unroutable: { ...base, code: 'UNROUTABLE', scope: 'destination', retryable: false },
  password: { ...base, code: 'UNAUTHENTICATED', scope: 'transport', retryable: false },
  split: { ...base, code: 'UNAVAILABLE', reason: 'split' },
  garbage: { code: 'EPIPE' } as unknown as Failure,
} satisfies Record<string, Failure | undefined>

const emitStep = fc.record({
  do: fc.constant('emit' as const),
  priority: fc.nat(6),
  key: fc.constantFrom(undefined, undefined, 'a', 'b'),
  topic: fc.constantFrom('one', 'one', 'two'),
  timeoutMs: fc.constantFrom(TIMEOUT_MS, TIMEOUT_MS, 500),
  abortable: fc.boolean(),
  times: fc.constantFrom(1, 1, 1, 5),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: emitStep },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      pick: fc.nat(31),
      outcome: fc.oneof(
        { weight: 3, arbitrary: fc.constant('confirmed' as const) },
        { weight: 4, arbitrary: fc.constantFrom(...(Object.keys(OUTCOMES) as Outcome[])) },
      ),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('settleTwice' as const), pick: fc.nat(31) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'throw' } as const) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('advance' as const), ms: fc.constantFrom(1, 100, 1_000, 4_000) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('status' as const),
      state: fc.constantFrom('up', 'down', 'blocked'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), pick: fc.nat(31) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'flush' } as const) },
)

const plan = fc.record({
  steps: fc.array(step, { minLength: 5, maxLength: 60 }),
  seed: fc.nat(),
  // Few of them, so that a buffer is now and then full of one.
  priorities: fc.oneof(
    fc.subarray([...PRIORITIES], { minLength: 1, maxLength: 4 }),
    fc.constantFrom<Priority[]>(['AUDIT', 'ERROR'], ['AUDIT', 'CRITICAL'], ['DEBUG', 'AUDIT', 'WARN']),
  ),
  ordering: fc.constantFrom('none' as const, 'key' as const),
  calls: fc.constantFrom(undefined, 1, 2),
  retry: fc.constantFrom(-1, -1, 0, 2),
  closeMs: fc.constantFrom(1, 50, 5_000),
})

interface Handed {
  readonly message: OutboundMessage
  readonly settle: Settle
  readonly call: number
  readonly at: number
  settled: boolean
}

class World {
  readonly clock: FakeClock
  readonly handed: Handed[] = []
  readonly open: {
    emission: Emission
    id: string
    lane: string
    key: string | undefined
    abort: AbortController | undefined
  }[] = []
  readonly ended = new Map<string, NotifyError | Receipt>()
  readonly ids: string[] = []
  readonly faults: string[] = []
  readonly shed: Priority[] = []
  told = 0
  blocked = false
  blockedMs = 0
  blockedAt = 0
  throwNext = false
  healthy = false
  tell: (status: Status) => void = () => {}

  constructor(seed: number) {
    this.clock = new FakeClock(seed)
  }

  active(): number {
    return (this.blocked ? this.blockedAt : this.clock.now()) - this.blockedMs
  }

  /** In flight as the contract has it: not settled, and its attempt has not timed out. */
  flying(): Handed[] {
    const active = this.active()
    return this.handed.filter(({ settled, at }) => !settled && at + ATTEMPT_MS > active)
  }

  setBlocked(blocked: boolean): void {
    if (blocked && !this.blocked) this.blockedAt = this.clock.now()
    if (!blocked && this.blocked) this.blockedMs += this.clock.now() - this.blockedAt
    this.blocked = blocked
  }
}

function driverOf(world: World, ordering: 'none' | 'key', calls: number | undefined): Driver {
  let call = 0
  return {
    contract: 1,
    name: 'scripted',
    capabilities: Object.freeze({
      confirms: 'broker',
      discards: false,
      ordering,
      deduplication: false,
      requeue: false,
      delay: false,
      deliveryCount: false,
      groups: false,
      sharing: 'message',
      history: false,
      maxMessageBytes: 10_000,
      maxBatch: 3,
      maxBatchBytes: 10_000,
      window: Object.freeze({ messages: WINDOW, bytes: 100_000, ...(calls === undefined ? {} : { calls }) }),
    }),
    publish(batch, settle) {
      call++
      if (world.blocked) world.faults.push('handed over while blocked')
      if (batch.length > 3) world.faults.push('a call above maxBatch')
      if (new Set(batch.map(({ destination }) => destination.name)).size > 1)
        world.faults.push('two destinations in one call')
      const flying = world.flying()
      if (flying.length + batch.length > WINDOW) world.faults.push('more in flight than the window')
      const same = flying.filter(({ message }) => message.destination.name === batch[0]?.destination.name)
      if (calls !== undefined && new Set(same.map((handed) => handed.call)).size >= calls)
        world.faults.push('more calls than the window')
      for (const [index, message] of batch.entries()) {
        const lane = message.destination.name
        if (message.key !== undefined) {
          const before = ordering === 'none' ? batch.slice(0, index) : []
          if ([...before, ...same.map((handed) => handed.message)].some(({ key }) => key === message.key)) {
            world.faults.push(`two in flight with key ${message.key}`)
          }
          for (const earlier of world.open) {
            if (earlier.id === message.id) break
            if (earlier.lane !== lane || earlier.key !== message.key || world.ended.has(earlier.id)) continue
            if (batch.slice(0, index).some(({ id }) => id === earlier.id)) continue
            world.faults.push(`overtaken? ${earlier.id}`)
          }
        }
        const handed = { message, settle, call, at: world.active(), settled: false }
        world.handed.push(handed)
        if (world.healthy) {
          handed.settled = true
          settle(message)
        }
      }
      if (world.throwNext) {
        world.throwNext = false
        for (const handed of world.handed) if (handed.call === call) handed.settled = true
        throw new Error('a driver must not throw')
      }
    },
    observe(listener) {
      world.tell = listener
      return () => {
        world.tell = () => {}
      }
    },
    async health() {
      return { ok: true, warnings: [] }
    },
    async close() {},
  }
}

async function run({
  steps,
  seed,
  priorities,
  ordering,
  calls,
  retry,
  closeMs,
}: typeof plan extends fc.Arbitrary<infer T> ? T : never) {
  const world = new World(seed)
  const { clock } = world
  const notifier = createNotifier({
    publisherId: 'model',
    driver: driverOf(world, ordering, calls),
    clock,
    buffer: { messages: BUFFER },
    retry,
    attemptTimeoutMs: ATTEMPT_MS,
    timeoutMs: TIMEOUT_MS,
    onFailure: () => world.told++,
    onStatus: () => {},
  })
  let emitted = 0
  let floating = 0
  let flushes = 0

  const emit = (one: Extract<Step, { do: 'emit' }>) => {
    const abort = one.abortable ? new AbortController() : undefined
    const id = `m${emitted++}`
    const priority = priorities[one.priority % priorities.length] as Priority
    const emission = notifier.notify(
      priority,
      'model',
      { id },
      {
        messageId: id,
        topics: [one.topic],
        timeoutMs: one.timeoutMs,
        ...(one.key === undefined ? {} : { key: one.key }),
        ...(abort === undefined ? {} : { signal: abort.signal }),
      },
    )
    world.open.push({ emission, id, lane: `${one.topic}.${priority.toLowerCase()}`, key: one.key, abort })
    emission.then(
      (receipt) => world.ended.set(id, receipt),
      (error) => {
        world.ended.set(id, error)
        if (error.code === 'SHED') world.shed.push(priority)
      },
    )
    // Every fourth floats beside: whatever becomes of it is told, or confirmed.
    if (emitted % 4 === 0) {
      floating++
      notifier.notify(priority, 'model', {}, { topics: [one.topic], timeoutMs: one.timeoutMs })
    }
  }

  const apply = async (one: Step) => {
    const open = world.handed.filter(({ settled }) => !settled)
    if (one.do === 'emit') for (let i = 0; i < one.times; i++) emit(one)
    else if (one.do === 'settle' && open.length > 0) {
      const handed = open[one.pick % open.length] as Handed
      handed.settled = true
      handed.settle(handed.message, OUTCOMES[one.outcome])
      if (ordering === 'key' && one.outcome !== 'confirmed' && handed.message.key !== undefined) {
        // The promise of such a driver: the rest of the key in that call fails with it.
        let behind = false
        for (const other of world.handed.filter(({ call }) => call === handed.call)) {
          if (behind && !other.settled && other.message.key === handed.message.key) {
            other.settled = true
            other.settle(other.message, { ...base, code: 'UNAVAILABLE', reason: 'after-failure' })
          }
          behind ||= other === handed
        }
      }
    } else if (one.do === 'settleTwice' && world.handed.length > 0) {
      const handed = world.handed[one.pick % world.handed.length] as Handed
      handed.settled = true
      handed.settle(handed.message)
      handed.settle(handed.message, OUTCOMES.lost)
      handed.settle(handed.message)
    } else if (one.do === 'throw') world.throwNext = true
    else if (one.do === 'advance') await clock.advance(one.ms)
    else if (one.do === 'status') {
      world.setBlocked(one.state === 'blocked')
      world.tell(one.state === 'up' ? { state: 'up' } : { state: one.state, failure: OUTCOMES.lost })
    } else if (one.do === 'abort' && world.open.length > 0)
      world.open[one.pick % world.open.length]?.abort?.abort()
    else if (one.do === 'flush') {
      flushes++
      void notifier.flush().then((ended) => {
        if (ended) flushes--
      })
    }
  }

  const check = (after: string) => {
    const { drivers, ...sums } = notifier.stats()
    const [driver] = drivers
    const told = `after ${after}: ${JSON.stringify({ ...sums, driver })}`
    expect(sums.emitted, told).toBe(emitted + floating)
    expect(sums.emitted, told).toBe(sums.confirmed + sums.failed + sums.shed + sums.filtered + sums.pending)
    const ends = [...world.ended.values()]
    const failed = ends.filter(isNotifyError)
    const shed = failed.filter(({ code }) => code === 'SHED').length
    // Those that float are seen through onFailure and the sums alone.
    expect(sums.confirmed, told).toBeGreaterThanOrEqual(ends.length - failed.length)
    expect(sums.failed + sums.shed, told).toBe(failed.length + world.told)
    expect(sums.shed, told).toBeGreaterThanOrEqual(shed)
    expect(sums.confirmed + sums.pending + failed.length + world.told, told).toBe(emitted + floating)
    expect(driver?.emitted, told).toBe(
      (driver?.confirmed ?? 0) + (driver?.failed ?? 0) + (driver?.shed ?? 0) + (driver?.pending ?? 0),
    )
    expect(driver?.pending, told).toBeLessThanOrEqual(BUFFER)
    expect(driver?.pending, told).toBe(sums.pending)
    expect(
      world.shed.filter((priority) => priority === 'AUDIT' || priority === 'CRITICAL'),
      told,
    ).toEqual([])
    // What was not yet known to have ended when a later one of its key was handed over, has ended by now.
    const overtaken = world.faults.filter(
      (fault) => !(fault.startsWith('overtaken? ') && world.ended.has(fault.slice(11))),
    )
    expect(overtaken, told).toEqual([])
    world.faults.length = 0
  }

  for (const one of steps) {
    await apply(one)
    await clock.settle()
    check(one.do)
  }

  // A driver that is well again confirms what is left, before any deadline but the short ones.
  world.setBlocked(false)
  world.healthy = true
  world.throwNext = false
  world.tell({ state: 'up' })
  const close = steps.length % 3 === 0
  if (!close) {
    for (const handed of world.handed.filter(({ settled }) => !settled)) {
      handed.settled = true
      handed.settle(handed.message)
    }
    const before = [...world.open].filter(({ id }) => !world.ended.has(id)).map(({ id }) => id)
    await clock.advance(2_200)
    for (const id of before) {
      const end = world.ended.get(id)
      const code = isNotifyError(end) ? end.code : end === undefined ? 'pending' : 'confirmed'
      // Its own backoff may be longer, and its deadline or the end of its retries may come first.
      if (code === 'pending') expect(notifier.stats().drivers[0]?.pending).toBeLessThanOrEqual(BUFFER)
      else expect(['confirmed', 'DEADLINE', 'ABORTED', 'THROTTLED', 'UNAVAILABLE', 'UNKNOWN']).toContain(code)
    }
    await clock.advance(10_000)
    check('recovery')
    expect(notifier.stats().pending, 'pending after recovery').toBe(0)
    for (const id of before) {
      const end = world.ended.get(id)
      if (retry === -1 && isNotifyError(end))
        expect(['DEADLINE', 'ABORTED', 'UNKNOWN'], `${id} with a healthy driver`).toContain(end.code)
      if (isNotifyError(end) && end.code === 'DEADLINE') expect(end.message, id).toContain('500 ms')
    }
    // The whole buffer is free again.
    const refused = notifier.stats().failed + notifier.stats().shed
    const all = Array.from({ length: BUFFER }, () => notifier.info('model', {}))
    emitted += BUFFER
    for (const emission of all) {
      emission.then(
        (receipt) => world.ended.set(emission.message_id, receipt),
        (error) => world.ended.set(emission.message_id, error),
      )
    }
    await clock.settle()
    check('refill')
    expect(notifier.stats().failed + notifier.stats().shed, 'refused by an empty buffer').toBe(refused)
  }
  const closing = notifier.close({ timeoutMs: closeMs })
  await clock.advance(closeMs + 250)
  const report = await Promise.race([closing, clock.settle().then(() => undefined)])
  expect(report, 'close() in time').toBeDefined()
  check('close')
  expect(report?.pending).toBe(0)
  expect(flushes, 'flushes that never ended').toBe(0)
  await clock.settle()
  expect(clock.timers, 'timers after close').toBe(0)
}

test('law, bounds, order and end hold for any program', { timeout: 300_000 }, async () => {
  await fc.assert(fc.asyncProperty(plan, run), {
    numRuns: RUNS,
    ...(process.env.NOTIFY_MODEL_SEED === undefined ? {} : { seed: Number(process.env.NOTIFY_MODEL_SEED) }),
  })
})

describe('the model finds a planted bug', () => {
  const plants: Record<string, () => () => void> = {
    'a lost decrement': () => {
      let count = 0
      return replace(
        Buffer.prototype,
        'free',
        (original) =>
          function (this: Buffer, item) {
            original.call(this, item)
            if (++count % 5 === 0) this.messages++
          },
      )
    },
    'a gate that never opens': () => replace(Gate.prototype, 'open', () => () => {}),
    'a key overtaken': () =>
      replace(
        Lane.prototype,
        'delay',
        (original) =>
          function (this: Lane, item, due) {
            // Forgets that the message holds its key.
            original.call(this, item, due)
            const { behind } = item
            if (behind !== undefined && item.before === undefined) {
              behind.before = undefined
              this.unpark(behind)
              if (behind.list === this.parked) move(behind, this.waiting)
            }
          },
      ),
    'an AUDIT shed': () =>
      replace(
        Buffer.prototype,
        'admit',
        (original) =>
          function (this: Buffer, lane, size, lanes) {
            const verdict = original.call(this, lane, size, lanes)
            const audit = lanes.find(
              ({ destination, waiting }) => destination.priority === 'AUDIT' && waiting.size > 0,
            )
            if (
              'code' in verdict &&
              verdict.code === 'OVERLOADED' &&
              audit?.waiting.tail !== undefined &&
              lane.level > audit.level
            ) {
              return [audit.waiting.tail]
            }
            return verdict
          },
      ),
    'a double settle counted': () =>
      replace(
        Window.prototype,
        'enter',
        (original) =>
          function (this: Window, call: Call) {
            original.call(this, call)
            const { settle } = call
            const seen = new Set<OutboundMessage>()
            Object.assign(call, {
              settle(message: OutboundMessage, failure?: Failure) {
                if (seen.has(message)) {
                  const item = call.itemOf(message)
                  item.owner.itemEnded(item)
                }
                seen.add(message)
                settle(message, failure)
              },
            })
          },
      ),
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
