/**
 * `pnpm demo`: a program that watches the machine it runs on, and beside it one that listens. Each line with a
 * priority is a notification that was emitted, carried by the broker, and received.
 */
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createListener, createNotifier, type HandlerContext, type NotificationOf } from '@notify/core'
import { type Events, sentence } from './events.ts'
import { freePort, hostState, Limits, Machine } from './machine.ts'
import { chooseTransport } from './options.ts'
import * as screen from './screen.ts'
import { count, duration, number } from './units.ts'

type Notification = NotificationOf<Events>

const FLOOD = 20_000

const { driver, topic, unplug } = await chooseTransport()
const publisherId = `demo.${hostname()}:${process.pid}`
const machine = new Machine()
const limits = new Limits()
const home = await mkdtemp(join(tmpdir(), 'notify-demo-'))
const folder = join(home, 'reports')
const pagerPort = await freePort()

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
    { event_type: 'process.trace', handle: () => void progress.traces++ },
    { where: ({ event_type }) => event_type !== 'process.trace', handle: show },
    { priorities: ['CRITICAL'], handle: markUrgent },
    { event_type: 'report.ready', handle: archive },
    { event_type: 'archive.failed', handle: () => mkdir(folder, { recursive: true }) },
    { event_type: 'archive.failed', attempts: { max: 3 }, handle: page },
    { publisher_id: publisherId, handle: ({ message_id }) => void progress.handled.add(message_id) },
  ],
  onFailure: (error) => screen.note(error.message),
  onStatus: ({ driver, state }) => screen.note(`the listener hears: ${driver} is ${state}`),
})

/** Reads what the first one has to give up. */
const undertaker = createListener<Events>({
  driver,
  topics: [`${topic}.dead`],
  handlers: [{ handle: showDead }],
  onStatus() {},
})

/** What the handlers have seen so far. */
const progress = {
  handled: new Set<string>(),
  traces: 0,
  urgent: undefined as { at: number; traces: number } | undefined,
  archived: false,
  dead: 0,
}

/** What goes into the report. */
const peaks = { rounds: 0, cpu_percent: 0, delay_ms: 0 }

const interruption = new AbortController()
process.once('SIGINT', () => interruption.abort())

await Promise.all([listener.start(), undertaker.start()])
try {
  for (const chapter of [watch, flood, failures, outage]) await chapter()
} catch (error) {
  if (!interruption.signal.aborted) process.exitCode = 1
  screen.note(interruption.signal.aborted ? 'interrupted' : String(error))
}
await end()

// ---- The story ------------------------------------------------------------------------------------------

async function watch(): Promise<void> {
  screen.heading(
    'A machine is watched',
    'SAMPLE is a measurement, DEBUG a detail, INFO a state, AUDIT is for the record.',
  )
  const { version: node, pid, platform } = process
  notifier.audit('watch.started', { node, pid, platform })
  notifier.info('host.state', hostState())
  for (let round = 0; round < 3; round++) {
    await pause(900)
    await measure()
  }
}

async function flood(): Promise<void> {
  screen.heading(
    'What matters goes first',
    `${count(FLOOD, 'DEBUG')} at once, and in the middle of it one CRITICAL.`,
  )
  const start = performance.now()
  for (let n = 0; n < FLOOD; n++) {
    const { user, system } = process.cpuUsage()
    notifier.debug('process.trace', { user_us: user, system_us: system })
  }
  screen.note(`${count(FLOOD, 'DEBUG')} emitted in ${duration(performance.now() - start)}`)
  await until('the first DEBUGs are handled', () => progress.traces >= 500)

  const [before, emittedAt] = [progress.traces, performance.now()]
  check('backlog', FLOOD - before)
  await until('the CRITICAL is handled', () => progress.urgent !== undefined)
  const { at, traces } = progress.urgent as { at: number; traces: number }
  screen.note(
    `handled after ${duration(at - emittedAt)}: ${count(traces - before, 'DEBUG')} went first, it overtook ${FLOOD - traces}`,
  )
  await until('the DEBUGs are handled', () => progress.traces === FLOOD)
  screen.note(
    `all ${count(FLOOD, 'DEBUG')} handled ${duration(performance.now() - start)} after the first emit`,
  )
  check('backlog', 0)
  await measure()
}

async function failures(): Promise<void> {
  screen.heading(
    'Handlers fail',
    'The archive misses its folder until another handler makes it. The pager stays dead.',
  )
  notifier.info('report.ready', { ...peaks })
  await until('the report is saved, and a dead letter read', () => progress.archived && progress.dead > 0)
}

async function outage(): Promise<void> {
  if (unplug === undefined) return
  screen.heading(
    'The broker goes away',
    'Nothing is emitted differently. What waits arrives when it is back.',
  )
  const start = performance.now()
  unplug.disconnect()
  for (let round = 0; round < 6; round++) {
    await pause(300)
    notifier.sample('cpu.usage', (await machine.read())['cpu.usage'])
  }
  const waiting = notifier.stats().pending
  unplug.connect()
  notifier.info('broker.back', { driver: driver.name, after_ms: performance.now() - start, waiting })
  await caughtUp()
}

/** Nothing counts that was not checked. */
async function end(): Promise<void> {
  screen.heading('The sums', 'Every emit and every delivery has ended in exactly one way.')
  notifier.audit('watch.stopped', { after_ms: performance.now() })
  await caughtUp().catch(() => {})
  const sent = await notifier.close()
  const received = await listener.stop()
  await undertaker.stop()
  machine.stop()
  await rm(home, { recursive: true })

  law('notifier', sent, 'emitted', ['confirmed', 'failed', 'shed', 'filtered', 'pending'])
  law('listener', received, 'received', [
    'acked',
    'dead',
    'dropped',
    'unmatched',
    'requeued',
    'lost',
    'pending',
  ])
  const { handled, dead } = progress
  claim(
    'together',
    `${number(sent.confirmed)} confirmed = ${number(handled.size)} handled`,
    sent.confirmed === handled.size,
  )
  claim('dead', `${received.dead} given up = ${dead} read from ${topic}.dead`, received.dead === dead)
}

// ---- What the handlers do -------------------------------------------------------------------------------

function show(notification: Notification): void {
  screen.event(notification, sentence(notification))
}

function markUrgent(): void {
  progress.urgent = { at: performance.now(), traces: progress.traces }
}

/** Fails as long as there is no folder. It is run again, and nobody has to ask for it. */
async function archive({ message_id, payload }: Notification, { attempt }: HandlerContext): Promise<void> {
  try {
    await writeFile(join(folder, `${message_id}.json`), JSON.stringify(payload))
  } catch (error) {
    const { code = 'UNKNOWN' } = error as NodeJS.ErrnoException
    screen.note(`archive, attempt ${attempt}: ${code}`)
    if (attempt === 1) notifier.error('archive.failed', { code, folder })
    throw error
  }
  screen.note(`archive, attempt ${attempt}: saved`)
  progress.archived = true
}

/** Fails each time: nobody listens there. After three attempts the notification is a dead letter. */
async function page(_: Notification, { attempt }: HandlerContext): Promise<void> {
  const socket = connect(pagerPort, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } catch (error) {
    screen.note(`pager, attempt ${attempt}: ${(error as Error).message}`)
    throw error
  } finally {
    socket.destroy()
  }
}

function showDead(notification: Notification, { headers, destination }: HandlerContext): void {
  const { code, reason, attempts, from } = JSON.parse(headers['notify-dead'] ?? '{}')
  screen.event(notification, `dead letter, read from ${destination.name}`)
  screen.note(`it came from ${from}: ${attempts} attempts, ${code}, ${reason}`)
  progress.dead++
}

// ---- What the story needs -------------------------------------------------------------------------------

/** One round: all that can be measured, and a word of warning where a limit is crossed. */
async function measure(): Promise<void> {
  const reading = await machine.read()
  notifier.debug('cpu.cores', reading['cpu.cores'])
  notifier.sample('cpu.usage', reading['cpu.usage'])
  notifier.sample('memory.usage', reading['memory.usage'])
  notifier.sample('disk.usage', reading['disk.usage'])
  notifier.sample('loop.delay', reading['loop.delay'])
  notifier.sample('process.usage', reading['process.usage'])
  check('cpu.usage', reading['cpu.usage'].percent)
  check('memory.usage', reading['memory.usage'].percent)
  check('disk.usage', reading['disk.usage'].percent)
  check('loop.delay', reading['loop.delay'].longest_ms)
  peaks.rounds++
  peaks.cpu_percent = Math.max(peaks.cpu_percent, reading['cpu.usage'].percent)
  peaks.delay_ms = Math.max(peaks.delay_ms, reading['loop.delay'].longest_ms)
}

function check(what: Parameters<Limits['check']>[0], value: number): void {
  const { priority, crossing } = limits.check(what, value) ?? {}
  if (priority === undefined || crossing === undefined) return
  notifier.notify(priority, priority === 'INFO' ? 'limit.cleared' : 'limit.crossed', crossing)
}

function caughtUp(): Promise<void> {
  return until('everything emitted is handled', () => progress.handled.size === notifier.stats().emitted)
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + 5_000
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`Waited 5 s in vain until ${what}.`)
    await pause(2)
  }
}

/** Ends early on Ctrl-C. */
async function pause(ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: interruption.signal })
}

function law<T extends string>(
  who: string,
  stats: Readonly<Record<T, number>>,
  whole: NoInfer<T>,
  parts: readonly NoInfer<T>[],
): void {
  const sum = parts.reduce((total, part) => total + stats[part], 0)
  const sides = parts.map((part) => `${number(stats[part])} ${part}`)
  claim(who, `${number(stats[whole])} ${whole} = ${sides.join(' + ')}`, sum === stats[whole])
}

function claim(who: string, text: string, holds: boolean): void {
  if (!holds) process.exitCode = 1
  screen.verdict(who, text, holds)
}
