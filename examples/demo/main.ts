/**
 * `pnpm demo`: a program that watches the machine it runs on, and one that listens to it. Each line with a
 * priority is a notification that was emitted, carried by the broker, and received.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createNotifier, PRIORITIES } from '@notify/core'
import type { Events } from './events.ts'
import { createListeners } from './listening.ts'
import { freePort, hostState, type Limited, Limits, Machine } from './machine.ts'
import { chooseTransport, quit } from './options.ts'
import * as screen from './screen.ts'
import { count, duration, number } from './units.ts'

const FLOOD = 20_000

const transport = await chooseTransport()
const { driver, topic, unplug } = transport
const publisherId = `demo.${hostname()}:${process.pid}`
const machine = new Machine()
const limits = new Limits()
/** What the report will say. */
const peaks = { rounds: 0, cpu_percent: 0, delay_ms: 0 }

const notifier = createNotifier<Events>({
  publisherId,
  driver,
  topics: [topic],
  buffer: { messages: 2 * FLOOD },
  onFailure: (error) => screen.note(error.message),
  onStatus({ driver, state, failure }) {
    screen.note(`the notifier hears that ${driver} is ${state}`)
    if (state === 'down') notifier.error('broker.away', { driver, code: failure?.code ?? 'UNKNOWN' })
  },
})

const [health] = (await notifier.health()).drivers
if (health?.ok === false) quit(`${driver.name} is not there. ${health.failure?.message ?? ''}`)

const home = mkdtempSync(join(tmpdir(), 'notify-demo-'))
process.once('exit', () => rmSync(home, { recursive: true }))
const { seen, listener, undertaker } = createListeners(transport, notifier, {
  publisherId,
  archiveFolder: join(home, 'reports'),
  pagerPort: await freePort(),
})

const interruption = new AbortController()
process.once('SIGINT', () => interruption.abort())

screen.print(`${publisherId} emits what it reads off this machine through ${driver.name}, and listens.`)
try {
  await Promise.all([listener.start(), undertaker.start()])
  for (const chapter of [watch, flood, failures, outage]) await chapter()
} catch (error) {
  const { aborted } = interruption.signal
  screen.note(aborted ? 'interrupted' : String(error))
  process.exitCode = aborted ? 130 : 1
}
await end()

async function watch(): Promise<void> {
  screen.heading(
    'A machine is watched',
    'SAMPLE measures, DEBUG explains, INFO tells a state, AUDIT is for the record.',
  )
  const { version: node, pid, platform } = process
  notifier.audit('watch.started', { node, pid, platform })
  notifier.info('host.state', hostState())
  for (let round = 0; round < 3; round++) {
    await pause(1_200)
    await measure()
  }
  await caughtUp()
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

  await until('the first DEBUGs are handled', () => seen.traces >= 500)
  const emittedAt = performance.now()
  check('backlog', FLOOD - seen.traces)
  await until('the CRITICAL is handled', () => seen.backlog !== undefined)
  const { at = 0, traces = 0 } = seen.backlog ?? {}
  screen.note(
    `after ${count(traces, 'DEBUG')}, before ${number(FLOOD - traces)}; ${duration(at - emittedAt)} from emit to handler`,
  )

  await until('the DEBUGs are handled', () => seen.traces === FLOOD)
  screen.note(`${count(FLOOD, 'DEBUG')} handled, ${duration(performance.now() - start)} from the first emit`)
  check('backlog', FLOOD - seen.traces)
  await measure()
  await caughtUp()
}

async function failures(): Promise<void> {
  screen.heading(
    'Handlers fail',
    'The archive has no folder, until another handler makes it. The pager stays dead.',
  )
  notifier.info('report.ready', peaks)
  await until('the report is saved and the dead letter read', () => seen.archived && seen.dead > 0)
  await caughtUp()
}

async function outage(): Promise<void> {
  if (unplug === undefined) return
  screen.heading(
    'The broker goes away',
    'The program emits as before. All of it arrives when the broker is back.',
  )
  const start = performance.now()
  unplug.disconnect()
  try {
    for (let round = 0; round < 6; round++) {
      await pause(400)
      notifier.sample('cpu.usage', (await machine.read())['cpu.usage'])
      screen.note(`cpu.usage emitted, ${notifier.stats().pending} waiting`)
    }
  } finally {
    unplug.connect()
  }
  notifier.info('broker.back', { driver: driver.name, after_ms: performance.now() - start })
  await caughtUp()
}

/** Nothing is claimed here that was not added up. */
async function end(): Promise<void> {
  screen.heading('The sums', 'Every emit and every delivery has ended, in exactly one way.')
  notifier.audit('watch.stopped', { after_ms: performance.now() })
  await caughtUp().catch((error) => screen.note(String(error)))
  const { emitted, drivers, ...emits } = await notifier.close()
  const { received, running, ...deliveries } = await listener.stop()
  await undertaker.stop()
  machine.stop()

  const handled = Object.fromEntries(PRIORITIES.map((priority) => [priority, 0]))
  for (const priority of seen.all.values()) handled[priority] = (handled[priority] ?? 0) + 1
  equation('notifier', emitted, 'emitted', emits)
  equation('listener', received, 'received', deliveries)
  equation('handled', emits.confirmed, 'confirmed', handled)
  equation('dead', deliveries.dead, 'dead', { [`read from ${topic}.dead`]: seen.dead })
}

/** One round: all that can be measured, and a word where a limit was crossed. */
async function measure(): Promise<void> {
  const reading = await machine.read()
  notifier.debug('cpu.cores', reading['cpu.cores'])
  notifier.sample('cpu.usage', reading['cpu.usage'])
  notifier.sample('memory.usage', reading['memory.usage'])
  notifier.sample('disk.usage', reading['disk.usage'])
  notifier.sample('loop.delay', reading['loop.delay'])
  notifier.sample('process.usage', reading['process.usage'])
  check('cpu.usage', reading['cpu.usage'].percent)
  // macOS counts as used what it would give up at once.
  if (process.platform !== 'darwin') check('memory.usage', reading['memory.usage'].percent)
  check('disk.usage', reading['disk.usage'].percent)
  check('loop.delay', reading['loop.delay'].longest_ms)
  peaks.rounds++
  peaks.cpu_percent = Math.max(peaks.cpu_percent, reading['cpu.usage'].percent)
  peaks.delay_ms = Math.max(peaks.delay_ms, reading['loop.delay'].longest_ms)
}

function check(what: Limited, value: number): void {
  const crossed = limits.check(what, value)
  if (crossed === undefined) return
  const { priority, crossing } = crossed
  notifier.notify(priority, priority === 'INFO' ? 'limit.cleared' : 'limit.crossed', crossing)
}

/** All that was emitted has been handled at the other end. */
function caughtUp(): Promise<void> {
  return until('everything is handled', () => seen.all.size === notifier.stats().emitted)
}

/** Gives up when nothing at all has been handled for five seconds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  let handled = seen.all.size
  let deadline = performance.now() + 5_000
  while (!holds()) {
    if (seen.all.size > handled) {
      handled = seen.all.size
      deadline = performance.now() + 5_000
    }
    if (performance.now() > deadline) throw new Error(`Waited 5 s in vain until ${what}.`)
    await sleep(2)
  }
}

/** Ends early on Ctrl-C. */
async function pause(ms: number): Promise<void> {
  await sleep(ms, undefined, { signal: interruption.signal })
}

function equation(who: string, total: number, whole: string, parts: Readonly<Record<string, number>>): void {
  const holds = total === Object.values(parts).reduce((sum, part) => sum + part, 0)
  if (!holds) process.exitCode = 1
  const terms = Object.entries(parts).map(([name, part]) => `${number(part)} ${name}`)
  screen.verdict(who, `${number(total)} ${whole} =`, terms, holds)
}
