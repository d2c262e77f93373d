// Run by a test in a process of its own, with --expose-gc, so that its memory is that of the library. Emits through
// whatever happens to the broker, keeps account by hand of what becomes of each emit, and does what it is told.
import { setTimeout as sleep } from 'node:timers/promises'
import { createNotifier } from '@notify/core'
import { rabbit } from '../../src/index.ts'
import type { Account, Command, EmitterOptions, Memory } from './emitting.ts'

const { topic, ...options } = JSON.parse(process.argv[2] as string) as EmitterOptions
const gc = globalThis.gc as () => void
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const now = () => performance.timeOrigin + performance.now()

const faults = new Set<string>()
const codes: Record<string, number> = {}
const confirmed: number[] = []
const confirmedAt: number[] = []
const statuses: Account['statuses'][number][] = []
/** One byte for each emit, so that keeping account takes no memory while memory is looked at. */
const ended = new Uint8Array(1_000_000)
let emitted = 0
let failed = 0

const notifier = createNotifier({
  publisherId: 'outage',
  driver: rabbit(options),
  topics: [topic],
  onStatus: ({ state, failure }) => statuses.push({ state, reason: failure?.reason, at: now() }),
  onFailure: (error) => faults.add(`an emit whose end was asked for was told as well: ${error}`),
})

function end(n: number): void {
  if (ended[n] !== 0) faults.add(`emit ${n} ended twice`)
  ended[n] = 1
}

function emit(): void {
  const n = emitted++
  try {
    notifier.info('order.placed', { n, text: 'x'.repeat(200) }, { messageId: String(n) }).then(
      () => {
        end(n)
        confirmed.push(n)
        confirmedAt.push(now())
      },
      ({ code }: { code: string }) => {
        end(n)
        failed++
        codes[code] = (codes[code] ?? 0) + 1
      },
    )
  } catch (error) {
    faults.add(`an emit threw ${error}`)
  }
}

function look(when: string): void {
  const { drivers, ...sums } = notifier.stats()
  const check = (what: string, holds: boolean): void => {
    if (!holds) faults.add(`${what}, ${when}: ${JSON.stringify({ sums, drivers, emitted })}`)
  }
  check('emitted', sums.emitted === emitted)
  check('law', emitted === sums.confirmed + sums.failed + sums.shed + sums.filtered + sums.pending)
  // What has ended is told a little later.
  check('told', sums.confirmed >= confirmed.length && sums.failed + sums.shed >= failed)
  for (const each of drivers) {
    check('driver', each.emitted === each.confirmed + each.failed + each.shed + each.pending)
    check('bound', each.pending <= 10_000)
  }
}

/** Emits at a pace that the broker can take, until `finish`. */
let trickling = true
async function trickle(): Promise<void> {
  while (trickling) {
    for (let index = 0; index < 10; index++) emit()
    look('in the trickle')
    await sleep(10)
  }
}

async function flood(count: number): Promise<Memory> {
  const until = emitted + count
  while (emitted < until) {
    for (let index = 0; index < 200; index++) emit()
    await turn()
    look('in the flood')
  }
  for (let rounds = 0; rounds < 3; rounds++) {
    await turn()
    gc()
  }
  const { heapUsed, external } = process.memoryUsage()
  return { bytes: heapUsed + external, pending: notifier.stats().pending }
}

async function finish(): Promise<Account> {
  trickling = false
  await flowing
  const flushed = await notifier.flush({ timeoutMs: 20_000 })
  look('after the flush')
  const { drivers: _, ...sums } = await notifier.close()
  await turn()
  look('after close')
  const closedAt = now()
  return { sums, flushed, codes, confirmed, confirmedAt, statuses, faults: [...faults].slice(0, 5), closedAt }
}

async function obey(command: Command): Promise<unknown> {
  switch (command.do) {
    case 'flood':
      return await flood(command.count)
    case 'confirmed':
      return confirmedAt.find((at) => at >= command.since) ?? null
    case 'statuses':
      return statuses
    case 'finish':
      return await finish()
  }
}

const flowing = trickle()
process.on('message', async (command: Command) => {
  const answer = await obey(command)
  process.send?.({ answer }, () => {
    if (command.do === 'finish') process.disconnect()
  })
})
