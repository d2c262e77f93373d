import { setTimeout as sleep } from 'node:timers/promises'
import { createListener, createNotifier } from '@notify/core'
import { memory } from '@notify/memory'
import { down, PAYLOAD } from './drivers.ts'
import type { Figure } from './figure.ts'
import { quartiles } from './turns.ts'

/** How many of a million waiting DEBUGs are handled between the emit of a CRITICAL and its handling. */
export async function critical(): Promise<Figure[]> {
  const waiting = 1_000_000
  const driver = memory()
  const notifier = createNotifier({
    publisherId: 'bench',
    driver,
    buffer: { messages: waiting, bytes: 2 ** 31 },
  })
  for (let emitted = 0; emitted < waiting; ) {
    for (let i = 0; i < 5_000; i++, emitted++) notifier.debug('bench', { emitted })
    await notifier.flush()
  }
  let debugs = 0
  let atEmit = 0
  let emittedAt = 0
  const overtaken = new Promise<{ before: number; ms: number }>((resolve) => {
    const listener = createListener({
      driver,
      concurrency: 16,
      handlers: [
        { priorities: ['DEBUG'], handle: () => sleep(2).then(() => void debugs++) },
        {
          priorities: ['CRITICAL'],
          handle: () => resolve({ before: debugs - atEmit, ms: performance.now() - emittedAt }),
        },
      ],
    })
    void listener.start()
    const poll = setInterval(() => {
      if (debugs < waiting / 20) return
      clearInterval(poll)
      atEmit = debugs
      emittedAt = performance.now()
      notifier.critical('bench', {})
    }, 20)
    void notifier.flush()
    ends.push(() => listener.stop({ timeoutMs: 1_000 }))
  })
  const { before, ms } = await overtaken
  for (const end of ends.splice(0)) await end()
  await notifier.close()
  const share = (before / waiting) * 100
  return [
    {
      what: 'DEBUGs of a million handled between the emit of a CRITICAL and its handling',
      ratio: quartiles([before]),
      unit: '',
      ceiling: waiting / 100,
    },
    { what: 'the wait of that CRITICAL', ratio: quartiles([ms]), unit: 'ms' },
    {
      id: 'critical',
      what: 'the same, of all',
      ratio: quartiles([share]),
      unit: '%',
      sentence: `Emitted while a million DEBUGs wait, a CRITICAL is handled ${ms.toFixed(1)} ms later, after ${before} more of them`,
    },
  ]
}

const ends: (() => Promise<unknown>)[] = []

/** What 200,000 emits, 200 a turn, into a driver that is down take more than 20,000 do. */
export async function outage(): Promise<Figure[]> {
  const notifier = createNotifier({ publisherId: 'bench', driver: down(), onFailure() {}, onStatus() {} })
  const emit = async (count: number) => {
    for (let i = 0; i < count; i += 200) {
      for (let j = 0; j < 200; j++) notifier.info('bench', PAYLOAD)
      await new Promise(setImmediate)
    }
  }
  await emit(20_000)
  const before = process.memoryUsage.rss()
  await emit(180_000)
  const mebibytes = (process.memoryUsage.rss() - before) / 2 ** 20
  await notifier.close({ timeoutMs: 1 })
  return [
    {
      id: 'outage',
      what: 'resident memory after 200,000 emits into a driver that is down, above that after 20,000',
      ratio: quartiles([mebibytes]),
      unit: 'MiB',
      ceiling: 64,
      sentence: `200,000 emits into a broker that is down take ${Math.max(0, Math.round(mebibytes))} MiB more memory than 20,000 do`,
    },
  ]
}
