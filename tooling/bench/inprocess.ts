import { monitorEventLoopDelay } from 'node:perf_hooks'
import { createListener, createNotifier } from '@notify/core'
import { memory } from '@notify/memory'
import { noop } from '@notify/noop'
import { down, instant, PAYLOAD } from './drivers.ts'
import type { Figure } from './figure.ts'
import { inBlocks, quartiles, ratio, takeTurns } from './turns.ts'

/** What an emit costs a program that has notifying switched off. */
export async function noopCost(rounds: number): Promise<Figure[]> {
  const notifier = createNotifier({ publisherId: 'bench', driver: noop() })
  const empty = async () => {}
  const costs = await takeTurns(
    {
      async: inBlocks(1_000, async (size) => {
        for (let i = 0; i < size; i++) await empty()
      }),
      floating: inBlocks(1_000, (size) => {
        for (let i = 0; i < size; i++) notifier.info('bench', PAYLOAD)
      }),
      awaited: inBlocks(1_000, async (size) => {
        for (let i = 0; i < size; i++) await notifier.info('bench', PAYLOAD)
      }),
    },
    { rounds, ms: 60 },
  )
  await notifier.close()
  const [floating, awaited] = [ratio(costs.floating, costs.async), ratio(costs.awaited, costs.async)]
  return [
    {
      id: 'noop',
      what: 'noop, floating / an awaited empty async call',
      ratio: floating,
      unit: '',
      ceiling: 0.5,
      sentence: `A floating emit costs ${floating.median.toFixed(2)} of an awaited empty function, an awaited one ${awaited.median.toFixed(1)}`,
    },
    { what: 'noop, awaited / an awaited empty async call', ratio: awaited, unit: '', ceiling: 3 },
    { what: 'an awaited empty async call', ratio: quartiles(costs.async), unit: 'ns' },
    { what: 'noop, floating', ratio: quartiles(costs.floating), unit: 'ns' },
    { what: 'noop, awaited', ratio: quartiles(costs.awaited), unit: 'ns' },
  ]
}

/** What core adds to encoding: a driver that confirms at once, against building the same bytes by hand. */
export async function emitCost(rounds: number): Promise<Figure[]> {
  const notifier = createNotifier({ publisherId: 'bench', driver: instant() })
  const costs = await takeTurns(
    {
      encode: inBlocks(500, (size) => {
        for (let i = 0; i < size; i++) {
          Buffer.from(
            JSON.stringify({
              message_id: crypto.randomUUID(),
              publisher_id: 'bench',
              event_type: 'compute.create_instance',
              priority: 'INFO',
              payload: PAYLOAD,
              timestamp: new Date().toISOString(),
            }),
          )
        }
      }),
      floating: inBlocks(500, async (size) => {
        for (let i = 0; i < size; i++) notifier.info('compute.create_instance', PAYLOAD)
        await notifier.flush()
      }),
      awaited: inBlocks(500, async (size) => {
        for (let i = 0; i < size; i++) await notifier.info('compute.create_instance', PAYLOAD)
      }),
      window: inBlocks(500, async (size) => {
        await Promise.all(
          Array.from({ length: size }, () => notifier.info('compute.create_instance', PAYLOAD)),
        )
      }),
    },
    { rounds, ms: 80 },
  )
  await notifier.close()
  return [
    {
      what: 'an emit, floating / building and encoding the same envelope by hand',
      ratio: ratio(costs.floating, costs.encode),
      unit: '',
    },
    { what: 'an emit, 500 awaited together / the same', ratio: ratio(costs.window, costs.encode), unit: '' },
    { what: 'an emit, awaited one by one / the same', ratio: ratio(costs.awaited, costs.encode), unit: '' },
    { what: 'building and encoding by hand', ratio: quartiles(costs.encode), unit: 'ns' },
    { what: 'an emit, floating', ratio: quartiles(costs.floating), unit: 'ns' },
  ]
}

/** From emit to acknowledged, in one process. */
export async function memoryRate(rounds: number): Promise<Figure[]> {
  const driver = memory()
  const notifier = createNotifier({ publisherId: 'bench', driver })
  let handled = 0
  const listener = createListener({ driver, handlers: [{ handle: () => void handled++ }] })
  await listener.start()
  const costs = await takeTurns(
    {
      through: inBlocks(2_000, async (size) => {
        const until = handled + size
        for (let i = 0; i < size; i++) notifier.info('bench', PAYLOAD)
        await notifier.flush()
        while (handled < until) await new Promise(setImmediate)
      }),
    },
    { rounds, ms: 200 },
  )
  await listener.stop()
  await notifier.close()
  return [{ what: 'memory, from emit to acknowledged', ratio: quartiles(costs.through), unit: 'ns' }]
}

/** How much later the program's own timers run while 1,000 emits a second meet a driver that is down. */
export async function loopDelay(rounds: number): Promise<Figure[]> {
  const bare: number[] = []
  const loaded: number[] = []
  for (let round = 0; round < rounds; round++) {
    bare.push(await p99(() => {}))
    const notifier = createNotifier({ publisherId: 'bench', driver: down(), onFailure() {}, onStatus() {} })
    loaded.push(await p99(() => notifier.info('bench', PAYLOAD)))
    await notifier.close({ timeoutMs: 1 })
  }
  return [
    {
      what: 'event loop delay p99 in an outage, above the same loop without the library',
      ratio: quartiles(loaded.map((value, round) => value - (bare[round] as number))),
      unit: 'ms',
      ceiling: 20,
    },
  ]
}

/** The p99 of the event loop's delay, in milliseconds, over one second of 200 calls every 20 ms. */
async function p99(call: () => unknown): Promise<number> {
  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  for (let turn = 0; turn < 50; turn++) {
    for (let i = 0; i < 200; i++) call()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  delay.disable()
  return delay.percentile(99) / 1e6
}
