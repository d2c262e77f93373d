/** Emits that go on, from a process of their own, while the broker is away in one way or another. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, openProxy, orSkip, type RabbitBroker, start } from '@notify/brokers'
import { afterAll, expect, type TestContext, test } from 'vitest'
import type { RabbitOptions } from '../src/index.ts'
import { type Emitter, instant, startEmitter } from './programs/emitting.ts'
import { type Place, placeAt } from './support.ts'

let started: Promise<RabbitBroker> | undefined
const own = (context: TestContext): Promise<RabbitBroker> => {
  started ??= start('rabbit')
  return orSkip(context, started)
}
afterAll(() =>
  started?.then(
    (broker) => broker.stop(),
    () => {},
  ),
)

/** Twice what the buffer takes, so that it is full after the first of ten. */
const FLOOD = 20_000
const MIB = 2 ** 20
/** From the broker's return to the first confirm. */
const BACK_MS = 5_000
/** A quorum queue that is younger may lose all it holds with its broker. */
const OLD_ENOUGH_MS = 2_500

interface Scene extends Place {
  readonly broker: RabbitBroker
  readonly emitter: Emitter
  readonly queue: string
}

async function emitting(context: TestContext, options: RabbitOptions = {}): Promise<Scene> {
  const broker = await own(context)
  const place = placeAt(context, broker)
  const { topic, name: queue } = place.destination()
  const { url, exchange } = place
  const emitter = await startEmitter(context, { url, exchange, topic, ...options })
  return { ...place, broker, emitter, queue }
}

/**
 * Ten times as many emits take no more memory than so many, and the buffer is what bounds both. Gives when the first
 * were emitted: what was still on its way from the broker when it went away, has long been read then.
 */
async function floods({ emitter }: Scene): Promise<number> {
  const early = await emitter.flood(FLOOD)
  const from = instant()
  const late = await emitter.flood(9 * FLOOD)
  const grown = `${early.bytes} bytes, then ${late.bytes}`
  expect(late.bytes - early.bytes, grown).toBeLessThan(MIB)
  expect([early.pending, late.pending]).toEqual([10_000, 10_000])
  return from
}

/** The first confirm since, which came within so many milliseconds. */
async function comesBack({ emitter }: Scene, since: number, withinMs: number = BACK_MS): Promise<number> {
  const at = await emitter.confirmed(since)
  const tookMs = Math.round(at - since)
  expect(tookMs, `the first confirm came after ${tookMs} ms`).toBeLessThanOrEqual(withinMs)
  return at
}

/** When nothing can have been confirmed, or else there was no outage. */
interface Dark {
  readonly from: number
  readonly to: number
}

interface Ended {
  /** The ids that are there, as often as they are. */
  readonly stored: readonly number[]
  /** What the driver was told to be, in turn. */
  readonly states: readonly string[]
}

/** The end: the sums agree, what was taken is confirmed, and what is confirmed is there. */
async function adds({ emitter, oracle, queue }: Scene, ...dark: Dark[]): Promise<Ended> {
  const account = await emitter.finish()
  const { sums, codes, confirmed, confirmedAt, faults } = account
  expect(faults).toEqual([])
  expect(account.flushed).toBe(true)
  expect(sums.emitted).toBeGreaterThan(10 * FLOOD)
  expect(sums).toMatchObject({ confirmed: confirmed.length, shed: 0, filtered: 0, pending: 0 })
  expect(sums.emitted).toBe(sums.confirmed + sums.failed)
  // Whatever the buffer had room for, it has sent.
  expect(codes).toEqual({ OVERLOADED: sums.failed })
  for (const { from, to } of dark) expect(confirmedAt.filter((at) => at > from && at < to)).toEqual([])
  expect(account.code).toBe(0)
  expect(account.endedAt - account.closedAt).toBeLessThan(1_000)
  const stored = (await oracle.read(queue)).map(({ id }) => Number(id))
  const there = new Set(stored)
  expect(confirmed.filter((n) => !there.has(n))).toEqual([])
  expect(there.size).toBe(confirmed.length)
  return { stored, states: account.statuses.map(({ state }) => state) }
}

test('stopped or killed, and started again: memory is flat, nothing confirmed is lost, it flows within 5 s', {
  tags: ['broker'],
  // Two restarts, and the broker's start.
  timeout: 120_000,
}, async (context) => {
  const scene = await emitting(context)
  const { broker } = scene
  const dark: Dark[] = []
  await sleep(OLD_ENOUGH_MS)
  for (const end of ['terminate', 'kill'] as const) {
    await broker[end]()
    const from = await floods(scene)
    const to = instant()
    const greeted = performance.timeOrigin + (await broker.restart())
    await comesBack(scene, greeted)
    dark.push({ from, to })
  }
  await adds(scene, ...dark)
})

test('paused for less than two heartbeats: the same connection goes on, within 5 s', {
  tags: ['broker'],
}, async (context) => {
  const scene = await emitting(context)
  scene.broker.pause()
  let from: number
  let back: number
  try {
    from = await floods(scene)
  } finally {
    back = instant()
    scene.broker.resume()
  }
  await comesBack(scene, back)
  const { stored, states } = await adds(scene, { from, to: back })
  expect(stored).toHaveLength(new Set(stored).size)
  expect(states).not.toContain('down')
})

test('paused for longer: memory is flat, nothing confirmed is lost, it flows within 5 s of its return', {
  tags: ['broker'],
}, async (context) => {
  const scene = await emitting(context, { heartbeatMs: 1_000, connectTimeoutMs: 1_000 })
  const paused = instant()
  scene.broker.pause()
  let from: number
  let back: number
  try {
    await scene.emitter.told('down', paused)
    from = await floods(scene)
  } finally {
    back = instant()
    scene.broker.resume()
  }
  await comesBack(scene, back)
  await adds(scene, { from, to: back })
})

test('behind a black hole: memory is flat, it flows within 5 s of the end of what that swallowed', {
  tags: ['broker'],
}, async (context) => {
  const broker = await own(context)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const connectTimeoutMs = 1_000
  const url = proxy.through(broker.url)
  const scene = await emitting(context, { url, heartbeatMs: 1_000, connectTimeoutMs })
  const { emitter } = scene

  // It swallows connects as well.
  const lost = instant()
  const { accepted } = proxy
  proxy.blackHole()
  await emitter.told('down', lost)
  const from = await floods(scene)
  await eventually(() => proxy.accepted > accepted, { what: 'a connect is swallowed' })
  const healed = instant()
  proxy.heal()
  const first = await comesBack(scene, healed, connectTimeoutMs + BACK_MS)

  // It is over before anybody could notice: the connection is silent all the same, until a heartbeat is missed.
  await emitter.confirmed(first + 200)
  const again = instant()
  proxy.blackHole()
  proxy.heal()
  const silent = await emitter.told('down', again)
  await comesBack(scene, silent)
  await adds(scene, { from, to: healed })
})

test('in a memory alarm: memory is flat, it flows within 5 s, nothing is there twice', {
  tags: ['broker'],
}, async (context) => {
  const scene = await emitting(context)
  const { broker, emitter } = scene
  const raised = instant()
  await broker.faults.alarm()
  let from: number
  let cleared: number
  try {
    await emitter.told('blocked', raised)
    from = await floods(scene)
  } finally {
    cleared = instant()
    await broker.faults.clearAlarm()
  }
  await comesBack(scene, cleared)
  const { stored, states } = await adds(scene, { from, to: cleared })
  expect(stored).toHaveLength(new Set(stored).size)
  expect(states).not.toContain('down')
})
