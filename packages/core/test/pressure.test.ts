import { describe, expect, test, vi } from 'vitest'
import { createNotifier, type Notifier, type NotifyError } from '../src/index.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, scripted, trouble } from './support/publisher.ts'

// What a program, a driver or a broker does at the worst moment.

describe('a hook', () => {
  test('of status may abort the emit whose failure it hears of', async () => {
    const abort = new AbortController()
    const { clock, driver, notifier } = emitting({
      reply: DOWN,
      notifier: { onStatus: () => abort.abort() },
    })
    const emission = notifier.info('a', {}, { signal: abort.signal })
    const other = notifier.info('b', {})
    await clock.settle()
    await expect(emission).rejects.toMatchObject({ code: 'ABORTED' })
    driver.reply = 'confirm'
    await clock.advance(3_000)
    await expect(other).resolves.toBeDefined()
  })

  test.each(['at once', 'later'])(
    'that emits what it hears, %s, is not called for ever after close',
    async (when) => {
      let told = 0
      const error = vi.spyOn(console, 'error').mockImplementation(() => {})
      const { clock, notifier } = emitting({
        notifier: {
          onFailure: ({ code }) => {
            const emit = () => void notifier.error('notification.failed', { code })
            told++
            if (told > 50) return undefined
            return when === 'later' ? Promise.resolve().then(emit) : emit()
          },
        },
      })
      const closing = notifier.close()
      await clock.advance(300)
      await closing
      notifier.info('too late', {})
      await clock.settle()
      expect(told).toBe(1)
      expect(error).toHaveBeenCalledWith(expect.stringContaining('CLOSED'))
      error.mockRestore()
    },
  )
})

describe('what is emitted after close', () => {
  test('is counted on stderr to the last one', async () => {
    const error = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { clock, notifier } = emitting({ notifier: { onFailure: undefined } })
    const closing = notifier.close()
    await clock.advance(300)
    await closing
    for (let index = 0; index < 1_000; index++) notifier.info('too late', {})
    await clock.settle()
    expect(error.mock.calls.flat()).toEqual([expect.stringContaining('CLOSED'), 'notify: 999 more of CLOSED'])
    error.mockRestore()
  })
})

describe('a driver that says "up" after each failure', () => {
  test('is not probed more often than backoff begins with', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { timeoutMs: 1_000 } })
    driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, DOWN)
      driver.status('down', DOWN)
      driver.status('up')
    }
    const publish = vi.spyOn(driver, 'publish')
    notifier.info('a', {})
    await clock.advance(1_000)
    expect(publish.mock.calls.length).toBeGreaterThan(3)
    expect(publish.mock.calls.length).toBeLessThan(30)
  })
})

describe('the window', () => {
  test('is emptied for a large message of a high priority, under a flood of small ones', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { window: { messages: 1_000, bytes: 100_000 } },
    })
    const debug = () => {
      for (let index = 0; index < 200; index++) notifier.debug('small', { text: 'x'.repeat(1_000) })
    }
    debug()
    await clock.settle()
    const critical = notifier.critical('large', { text: 'x'.repeat(70_000) })
    let rounds = 0
    let ended = false
    void critical.then(() => {
      ended = true
    })
    while (!ended && rounds++ < 100) {
      debug()
      driver.confirm()
      await clock.settle()
    }
    expect(rounds).toBeLessThan(10)
  })

  test('keeps a place for a healthy destination beside a topic that is silent at every priority', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { window: { messages: 20, bytes: 2 ** 20 } },
    })
    driver.reply = ({ destination }) => (destination.topic === 'stalled' ? 'hold' : 'confirm')
    for (const emit of [notifier.info, notifier.debug, notifier.warn]) {
      for (let index = 0; index < 100; index++) emit('a', {}, { topics: ['stalled'] })
    }
    await clock.settle()
    const critical = notifier.critical('b', {}, { topics: ['healthy'] })
    await clock.settle()
    await expect(critical).resolves.toBeDefined()
  })
})

describe('a bound', () => {
  test.each([Number.NaN, -1, '5000', null])(
    'that is no duration (%s) does not close at once',
    async (timeoutMs) => {
      const error = vi.spyOn(console, 'error').mockImplementation(() => {})
      const { clock, driver, notifier } = emitting({})
      const emission = notifier.info('a', {})
      await clock.settle()
      const closing = notifier.close({ timeoutMs: timeoutMs as number })
      await clock.advance(100)
      driver.confirm()
      await clock.advance(300)
      await expect(emission).resolves.toBeDefined()
      expect(await closing).toMatchObject({ confirmed: 1, failed: 0 })
      expect(error).toHaveBeenCalledWith(expect.stringContaining('5000 is used'))
      error.mockRestore()
    },
  )

  test('ends each emit at its own deadline, whatever their order', async () => {
    const { clock, notifier } = emitting({})
    const ended: number[] = []
    const bounds = [900, 100, 500, 300, 700, 100, 800, 200]
    for (const timeoutMs of bounds) notifier.info('a', {}, { timeoutMs }).catch(() => ended.push(timeoutMs))
    await clock.advance(450)
    expect(ended).toEqual([100, 100, 200, 300])
    await clock.advance(450)
    expect(ended).toEqual([...bounds].sort((a, b) => a - b))
  })
})

describe('an emit', () => {
  test('is aborted by what its payload does while it is encoded', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    const abort = new AbortController()
    const payload = {
      toJSON() {
        abort.abort()
        return {}
      },
    }
    await expect(notifier.info('a', payload, { signal: abort.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    })
    await clock.settle()
    expect(driver.handed).toHaveLength(0)
  })

  test('has at each driver the failure of that driver', async () => {
    const password = trouble('UNAUTHENTICATED', { scope: 'transport', reason: 'password' })
    const a = scripted({ name: 'a', reply: password })
    const b = scripted({ name: 'b' })
    const { clock, notifier } = emitting({
      notifier: { drivers: [{ driver: a }, { driver: b }], buffer: { messages: 1 } },
    })
    notifier.info('first', {}).catch(() => {})
    await clock.settle()
    const error = await notifier.info('second', {}).then(
      () => undefined,
      (failed: NotifyError) => failed,
    )
    expect(error?.receipt?.results.map(({ driver, failure }) => [driver, failure?.code])).toEqual([
      ['a', 'UNAUTHENTICATED'],
      ['b', 'OVERLOADED'],
    ])
  })

  test('that has ended leaves no timer, though its driver still holds it', async () => {
    const { clock, notifier } = emitting({})
    notifier.info('a', {}, { timeoutMs: 100 }).catch(() => {})
    await clock.advance(100)
    expect(notifier.stats().pending).toBe(0)
    expect(clock.timers).toBe(0)
  })

  test('that waits for ever for a blocked broker keeps the process alive', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    driver.status('blocked')
    const emission = notifier.info('a', {}, { timeoutMs: Number.POSITIVE_INFINITY })
    await clock.settle()
    expect(clock.timers).toBe(1)
    driver.status('up')
    await expect(emission).resolves.toBeDefined()
    expect(clock.timers).toBe(0)
  })
})

describe('what a factory is given', () => {
  test.each([
    [{ clock: {} }, 'clock must have a function'],
    [{ strict: 'no' }, 'strict must be true or false'],
    [
      { drivers: [{ driver: scripted(), required: 'false' }], driver: undefined },
      'drivers[0].required must be',
    ],
    [{ drivers: [scripted()], driver: undefined }, 'write { driver } around it'],
    [{ publisherId: undefined }, 'publisherId is missing'],
    [{ backoff: { maxMs: 50 } }, undefined],
  ])('%o is answered with what to do', (options, says) => {
    const make = () =>
      createNotifier({ publisherId: 'test', driver: scripted(), ...options } as never) as Notifier
    if (says === undefined) expect(make).not.toThrow()
    else expect(make).toThrow(says)
  })
})
