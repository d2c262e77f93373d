import { setTimeout as sleep } from 'node:timers/promises'
import { createListener, createNotifier, type Listener } from '@notify/core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { memory } from '../src/index.ts'

// Important first, at the size at which it matters: a million notifications wait, and handlers take real time.

const WAITING = 1_000_000
const driver = memory({ record: 0 })
const notifier = createNotifier({
  publisherId: 'test',
  driver,
  buffer: { messages: 200_000, bytes: 2 ** 30 },
})
const handled = { DEBUG: 0, CRITICAL: 0 }
let onCritical: (() => void) | undefined
let listener: Listener | undefined

beforeAll(async () => {
  for (let emitted = 0; emitted < WAITING; ) {
    for (let i = 0; i < 10_000; i++, emitted++) notifier.debug('backlog', { emitted })
    await notifier.flush()
  }
  listener = createListener({
    driver,
    concurrency: 16,
    handlers: [
      {
        priorities: ['DEBUG', 'CRITICAL'],
        async handle({ priority }) {
          await sleep(2)
          handled[priority as keyof typeof handled]++
          if (priority === 'CRITICAL') onCritical?.()
        },
      },
    ],
  })
  await listener.start()
}, 120_000)

afterAll(async () => {
  await listener?.stop({ timeoutMs: 2_000 })
  await notifier.close()
})

test('a CRITICAL is handled before another 1 % of a million DEBUGs that wait', {
  timeout: 120_000,
}, async () => {
  const before = await new Promise<number>((resolve) => {
    const timer = setInterval(() => {
      if (handled.DEBUG < WAITING * 0.05) return
      clearInterval(timer)
      const atEmit = handled.DEBUG
      expect(atEmit).toBeLessThan(WAITING * 0.2)
      onCritical = () => resolve(handled.DEBUG - atEmit)
      notifier.critical('now', {})
    }, 20)
  })
  expect(handled.CRITICAL).toBe(1)
  expect(before).toBeLessThanOrEqual(WAITING * 0.01)
})

test('beside a flood of CRITICALs, a DEBUG has at least 4 % of the handling', {
  timeout: 120_000,
}, async () => {
  const flood = 10_000
  const { DEBUG, CRITICAL } = handled
  const done = new Promise<void>((resolve) => {
    onCritical = () => {
      if (handled.CRITICAL === CRITICAL + flood) resolve()
    }
  })
  for (let i = 0; i < flood; i++) notifier.critical('flood', { i })
  await notifier.flush()
  await done
  const debugs = handled.DEBUG - DEBUG
  expect(debugs / (debugs + flood)).toBeGreaterThanOrEqual(0.04)
  // And it is the CRITICALs that have most of it.
  expect(debugs / (debugs + flood)).toBeLessThan(0.5)
})
