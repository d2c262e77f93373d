/**
 * `pnpm demo`: a program that watches the machine it runs on, and beside it one that listens. Each line with a
 * priority is a notification that was emitted, carried by the broker, and received.
 */
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createListener, createNotifier, type HandlerContext, type NotificationOf } from '@notify/core'
import { type Events, sentence } from './events.ts'
import { freePort, hostState, Limits, Machine } from './machine.ts'
import { chooseTransport } from './options.ts'
import * as screen from './screen.ts'
import { count, duration } from './units.ts'

const FLOOD = 20_000

const { driver, topic, unplug } = await chooseTransport()
const publisherId = `demo.${hostname()}:${process.pid}`
const machine = new Machine()
const limits = new Limits()
const folder = join(await mkdtemp(join(tmpdir(), 'notify-demo-')), 'reports')
const pagerPort = await freePort()

/** What has been handled: each notification once, however often it came. */
const handled = new Set<string>()
const traces = { handled: 0 }
const rounds = { count: 0, cpu_percent: 0, delay_ms: 0 }
let urgent: { tracesBefore: number; at: number } | undefined

const notifier = createNotifier<Events>({
  publisherId,
  driver,
  topics: [topic],
  buffer: { messages: 2 * FLOOD },
  onFailure: (error) => screen.note(error.message),
  onStatus({ driver, state, failure }) {
    screen.note(`the notifier hears: ${driver} is ${state}`)
    if (state === 'down') notifier.error('broker.away', { driver, code: failure?.code ?? 'UNKNOWN' })
  },
})

const listener = createListener<Events>({
  driver,
  topics: [topic],
  handlers: [
    { event_type: 'process.trace', handle: () => void traces.handled++ },
    { where: ({ event_type }) => event_type !== 'process.trace', handle: show },
    { priorities: ['CRITICAL'], handle: noteUrgent },
    { event_type: 'report.ready', handle: archive },
    { event_type: 'archive.failed', attempts: { max: 3 }, handle: page },
    { publisher_id: publisherId, handle: (notification) => void handled.add(notification.message_id) },
  ],
  onFailure: (error) => screen.note(error.message),
  onStatus: ({ driver, state }) => screen.note(`the listener hears: ${driver} is ${state}`),
})

/** Reads what the first listener could not handle. */
const undertaker = createListener<Events>({
  driver,
  topics: [`${topic}.dead`],
  handlers: [{ handle: showDead }],
  onStatus() {},
})

const interrupted = new AbortController()
process.once('SIGINT', () => interrupted.abort(new Error('interrupted')))

await Promise.all([listener.start(), undertaker.start()])
try {
  for (const chapter of [watch, flood, failures, outage]) await chapter()
} catch (error) {
  screen.note(interrupted.signal.aborted ? 'interrupted' : `${error}`)
  process.exitCode = 1
}
await end()

// The story ----------------------------------------------------------------------------------------------

async function watch(): Promise<void> {
  screen.heading('A machine is watched', 'SAMPLE is a measurement, DEBUG a detail, INFO a state, AUDIT for the record.')
  const { version: node, pid, platform } = process
  notifier.audit('watch.started', { node, pid, platform })
  notifier.info('host.state', hostState())
  for (let round = 0; round < 3; round++) {
    await pause(800)
    await measure()
  }
}

async function flood(): Promise<void> {
  screen.heading('What matters goes first', `${count(FLOOD, 'DEBUG')} at once. In the middle of it, one CRITICAL.`)
  const start = performance.now()
  for (let n = 0; n < FLOOD; n++) notifier.debug('process.trace', process.cpuUsage())
  screen.note(`${count(FLOOD, 'DEBUG')} emitted in ${duration(performance.now() - start)}`)
  await until('the first DEBUGs are handled', () => traces.handled >= 500)
  check('backlog', FLOOD - traces.handled)
  const [emitted, before] = [performance.now(), traces.handled]
  await until('the CRITICAL is handled', () => urgent !== undefined)
  const { at, tracesBefore } = urgent as NonNullable<typeof urgent>
  screen.note(
    `${duration(at - emitted)} after its emit: ${tracesBefore - before} DEBUGs went first, ${count(FLOOD - tracesBefore, 'DEBUG')} came after`,
  )
  await until('the DEBUGs are handled', () => traces.handled === FLOOD)
  screen.note(`all ${count(FLOOD, 'DEBUG')} handled, ${duration(performance.now() - start)} after the first emit`)
  check('backlog', FLOOD - traces.handled)
  await measure()
}

async function failures(): Promise<void> {
  screen.heading('Handlers fail', 'The archive has no folder yet, and nobody answers the pager.')
  notifier.info('report.ready', rounds)
  await until('the folder is missed', () => ...)
}
