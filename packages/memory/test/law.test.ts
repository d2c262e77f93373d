import {
  createListener,
  createNotifier,
  type Driver,
  type ListenerStats,
  type NotifierStats,
  Reject,
} from '@notify/core'
import { expect, test } from 'vitest'
import { memory } from '../src/index.ts'

// The sums of a notifier and of a listener, sampled wherever a program can look at them, against a tally that is
// kept outside of both: by the calls themselves, and by a driver that stands in between and counts.

interface Tally {
  emitted: number
  confirmed: number
  failed: number
  settled: number
  received: number
}

/** The memory driver, with everything counted that passes through. `look` is called from inside each settle. */
function counted(driver: Driver, tally: Tally, look: () => void): Driver {
  return {
    ...driver,
    name: driver.name,
    capabilities: driver.capabilities,
    publish: (batch, settle, options) =>
      driver.publish(
        batch,
        (message, failure) => {
          tally.settled++
          settle(message, failure)
          if (failure === undefined && !message.destination.topic.endsWith('.dead')) tally.confirmed++
          look()
        },
        options,
      ),
    subscribe: (source, onDelivery, options) =>
      (driver.subscribe as NonNullable<Driver['subscribe']>)(
        source,
        (delivery) => {
          tally.received++
          onDelivery(delivery)
        },
        options,
      ),
    health: (options) => driver.health(options),
    close: (options) => driver.close(options),
  }
}

test('both laws hold at every instant, over memory, from inside handlers too', {
  timeout: 60_000,
}, async () => {
  const tally: Tally = { emitted: 0, confirmed: 0, failed: 0, settled: 0, received: 0 }
  const outcomes = { acked: 0, dead: 0, unmatched: 0 }
  let samples = 0
  let told = 0

  const check = () => {
    samples++
    const sums: NotifierStats = notifier.stats()
    expect(sums.emitted).toBe(tally.emitted)
    expect(sums.confirmed).toBe(tally.confirmed)
    expect(sums.failed).toBe(tally.failed)
    expect(sums.emitted).toBe(sums.confirmed + sums.failed + sums.shed + sums.filtered + sums.pending)
    const [messages] = sums.drivers
    expect(messages?.emitted).toBe(
      (messages?.confirmed ?? 0) + (messages?.failed ?? 0) + (messages?.shed ?? 0) + (messages?.pending ?? 0),
    )
    if (listener === undefined) return
    const { received, acked, dead, dropped, unmatched, requeued, lost, pending }: ListenerStats =
      listener.stats()
    expect(received).toBe(tally.received)
    expect(received).toBe(acked + dead + dropped + unmatched + requeued + lost + pending)
  }

  const driver = counted(memory(), tally, () => {
    // A settle that is being told of is counted on neither side until it has returned.
    if (tally.settled % 20 === 0) check()
  })
  const notifier = createNotifier({
    publisherId: 'test',
    driver,
    onFailure() {
      told++
      check()
    },
  })
  let runs = 0
  const listener = createListener({
    driver,
    attempts: { max: 2, minMs: 1, maxMs: 2 },
    handlers: [
      {
        event_type: 'good*',
        handle() {
          if (++runs % 10 === 0) check()
        },
      },
      {
        event_type: 'bad',
        handle() {
          check()
          throw new Reject('no-good')
        },
      },
    ],
  })
  await listener.start()

  const kinds = ['good', 'good.too', 'bad', 'nobody'] as const
  for (let turn = 0; turn < 100; turn++) {
    for (let i = 0; i < 200; i++) {
      tally.emitted++
      if (i % 25 === 0) {
        tally.failed++
        notifier.warn('unsendable', { value: 1n })
        continue
      }
      const kind = kinds[i % 50 === 2 ? 2 : i % 10 === 3 ? 3 : i % 2] as (typeof kinds)[number]
      outcomes[kind === 'bad' ? 'dead' : kind === 'nobody' ? 'unmatched' : 'acked']++
      notifier.notify(i % 3 === 0 ? 'ERROR' : 'DEBUG', kind, { turn, i })
    }
    check()
    await new Promise(setImmediate)
    check()
  }
  await notifier.flush()
  while (listener.stats().received < tally.confirmed || listener.stats().pending > 0)
    await new Promise(setImmediate)

  const { acked, dead, unmatched, pending } = await listener.stop()
  expect({ acked, dead, unmatched, pending }).toEqual({ ...outcomes, pending: 0 })
  const end = await notifier.close()
  expect(end).toMatchObject({
    emitted: tally.emitted,
    confirmed: tally.confirmed,
    failed: tally.failed,
    pending: 0,
  })
  expect(told).toBe(tally.failed)
  expect(samples).toBeGreaterThanOrEqual(1_000)
})
