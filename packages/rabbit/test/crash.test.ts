/** Consumers in processes of their own, which die. */
import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually, type Oracle, openProxy, requireBroker, seeded } from '@notify/brokers'
import { createNotifier, type ListenerStats, PRIORITIES } from '@notify/core'
import { expect, type TestContext, test } from 'vitest'
import { consume, outbound, placeAt, publish } from './support.ts'

interface Consumer {
  /** Resolves with the signal that ended it. */
  readonly died: Promise<NodeJS.Signals | null>
  kill(): void
  /** `undefined`: it is dead. */
  stats(): Promise<ListenerStats | undefined>
  /** Stops the listener; then the process has to end by itself. */
  stop(): Promise<ListenerStats | undefined>
}

interface Scene {
  readonly oracle: Oracle
  readonly queue: string
  readonly dead: string
  /** Starts a process that consumes. */
  consumer(): Consumer
  /** What its handlers have begun, and what they have ended, so far, over all processes. */
  seen(): { started: number[]; done: number[] }
  /** Emits one for each payload, and resolves with their ids when all are confirmed. */
  emit(payloads: readonly object[]): Promise<string[]>
}

async function place(context: TestContext): Promise<Scene> {
  const { url, exchange, destination, driver, oracle } = placeAt(
    context,
    await requireBroker(context, 'rabbit'),
  )
  const { topic, name: queue } = destination()
  const dead = `${topic}.dead.info`
  const folder = mkdtempSync(join(tmpdir(), 'notify-crash-'))
  const file = join(folder, 'seen')
  writeFileSync(file, '')
  context.onTestFinished(async () => {
    rmSync(folder, { recursive: true })
    await oracle.remove(dead)
  })
  return {
    oracle,
    queue,
    dead,
    consumer() {
      const program = new URL('./programs/consumer.ts', import.meta.url)
      const child = fork(program, [url, exchange, topic, file], { execArgv: [] })
      const died = once(child, 'exit').then(([, signal]) => signal as NodeJS.Signals | null)
      context.onTestFinished(async () => void child.kill('SIGKILL'))
      async function ask(command: 'stats' | 'stop'): Promise<ListenerStats | undefined> {
        if (!child.connected) return undefined
        const answered = once(child, 'message') as Promise<[ListenerStats]>
        // It may die of a handler before it hears of it.
        child.send(command, () => {})
        return await Promise.race([answered.then(([stats]) => stats), died.then(() => undefined)])
      }
      return {
        died,
        kill: () => void child.kill('SIGKILL'),
        stats: () => ask('stats'),
        stop: () => ask('stop'),
      }
    },
    seen() {
      const lines = readFileSync(file, 'utf8').split('\n')
      const of = (word: string): number[] =>
        lines.filter((line) => line.startsWith(word)).map((line) => Number(line.split(' ')[1]))
      return { started: of('started'), done: of('done') }
    },
    async emit(payloads) {
      const notifier = createNotifier({ publisherId: 'shop', driver: driver(), topics: [topic] })
      const receipts = await Promise.all(payloads.map((payload) => notifier.info('order.placed', payload)))
      await notifier.close()
      return receipts.map(({ message_id }) => message_id)
    },
  }
}

const numbered = (count: number): { n: number }[] => Array.from({ length: count }, (_, n) => ({ n }))

test('killed while it handles several: the next process handles all that was not settled', {
  tags: ['broker'],
}, async (context) => {
  const seed = Date.now()
  const random = seeded(seed)
  const { emit, consumer, seen, oracle, queue } = await place(context)
  await emit(numbered(500))
  for (let killed = 0, least = 0; killed < 3; killed++) {
    const first = consumer()
    least += random.between(20, 100)
    await eventually(() => seen().done.length >= least, { withinMs: 10_000, what: `seed ${seed}` })
    first.kill()
    expect(await first.died).toBe('SIGKILL')
    const { started, done } = seen()
    const inFlight = [...new Set(started)].filter((n) => !done.includes(n))
    expect(inFlight.length, `seed ${seed}`).toBeGreaterThanOrEqual(2)
  }
  const last = consumer()
  await eventually(() => new Set(seen().done).size === 500, {
    withinMs: 15_000,
    what: `everything is handled (seed ${seed})`,
  })
  const stats = await last.stop()
  expect(stats?.acked).toBe(stats?.received)
  expect(await last.died).toBe(null)
  expect([await oracle.count(queue), await oracle.consumers(queue)]).toEqual([0, 0])
})

test('one that kills its process each time ends in the dead letters, alone; its 49 neighbours are handled', {
  tags: ['broker'],
}, async (context) => {
  const { emit, consumer, seen, oracle, queue, dead } = await place(context)
  const bad = seeded(Date.now()).between(0, 49)
  const ids = await emit(numbered(50).map(({ n }) => (n === bad ? { n, bad: true } : { n })))
  let deaths = 0
  for (let empty = false; !empty; ) {
    const current = consumer()
    const what = 'it has nothing left to do, or is dead'
    await eventually(
      async () => {
        const stats = await current.stats()
        return stats === undefined || (stats.received > 0 && stats.pending === 0)
      },
      { withinMs: 20_000, what },
    )
    await current.stop()
    if ((await current.died) === 'SIGKILL') expect(++deaths, `bad is ${bad}`).toBeLessThanOrEqual(20)
    else empty = (await oracle.count(queue)) === 0
  }
  const { started, done } = seen()
  expect(new Set(done)).toEqual(new Set(numbered(50).flatMap(({ n }) => (n === bad ? [] : [n]))))
  expect(started.filter((n) => n === bad)).toHaveLength(deaths)
  const letters = await oracle.read(dead)
  expect(letters.map(({ id }) => id)).toEqual([ids[bad]])
  const note: unknown = JSON.parse(letters[0]?.properties.headers?.['notify-dead'])
  expect(note).toMatchObject({ code: 'UNKNOWN', reason: 'max-deliveries', attempts: 0, from: queue })
  expect([await oracle.count(queue), await oracle.consumers(queue)]).toEqual([0, 0])
})

test('what came again is settled when the broker has acted on it: a process may die of the next one', {
  tags: ['broker'],
}, async (context) => {
  const broker = await requireBroker(context, 'rabbit')
  const { destination, driver, oracle } = placeAt(context, broker)
  const proxy = await openProxy(broker)
  context.onTestFinished(() => proxy.close())
  const orders = destination()
  const both = driver({ url: proxy.through(broker.url) })
  await publish(both, [outbound(orders, 'again'), outbound(orders, 'again too'), outbound(orders, 'once')])
  const inbox = await consume(both, orders)
  await inbox.has(3)
  await Promise.all(inbox.deliveries.slice(0, 2).map((each) => each.requeue()))
  const [, , once, again, too] = await inbox.has(5)
  proxy.down.hold()
  expect(await once?.ack()).toBe(true)
  const asked = proxy.up.passes('\x00\x3c\x00\x0a')
  const acking = again?.ack()
  await asked
  expect(await Promise.race([acking, 'open'])).toBe('open')
  proxy.down.release()
  expect(await acking).toBe(true)
  proxy.down.hold()
  const lost = too?.ack()
  await proxy.up.passes('\x00\x3c\x00\x0a')
  proxy.cut()
  expect(await lost).toBe(false)
  expect(await oracle.count(orders.name)).toBeLessThanOrEqual(1)
})

test('closed: a process that has emitted and handled 1,000 ends by itself within a second', {
  tags: ['broker'],
}, async (context) => {
  const { url, exchange, destination, oracle } = placeAt(context, await requireBroker(context, 'rabbit'))
  const { topic, name } = destination()
  for (const priority of PRIORITIES) {
    context.onTestFinished(() => oracle.remove(`${topic}.${priority.toLowerCase()}`))
  }
  const program = new URL('./programs/whole.ts', import.meta.url).pathname
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [program, url, exchange, topic], {
    timeout: 20_000,
  })
  const endedAt = performance.timeOrigin + performance.now()
  expect(stderr).toBe('')
  const { closedAt, ...sums } = JSON.parse(stdout)
  expect(sums).toEqual({ confirmed: 1_000, acked: 1_000, handled: 1_000 })
  expect(endedAt - closedAt, 'milliseconds from close to the end').toBeLessThan(1_000)
  expect([await oracle.count(name), await oracle.consumers(name)]).toEqual([0, 0])
})
