import { runInNewContext } from 'node:vm'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Notifier, NotifierOptions } from '../src/index.ts'
import { complain } from '../src/observe.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, scripted, trouble } from './support/publisher.ts'

/** Lines on stderr. */
let lines: string[] = []

beforeEach(() => {
  lines = []
  vi.spyOn(console, 'error').mockImplementation((line) => lines.push(String(line)))
})
afterEach(() => {
  vi.restoreAllMocks()
})

const silent = { onFailure: undefined, onStatus: undefined } satisfies Partial<NotifierOptions>

describe('without hooks', () => {
  test('a failure is one line on stderr for each code and second, with a count', async () => {
    const { clock, notifier } = emitting({
      notifier: silent,
      reply: trouble('FORBIDDEN', { message: 'Not yours.' }),
    })
    for (let index = 0; index < 5; index++) notifier.info('a', {})
    for (let index = 0; index < 3; index++) notifier.info('', {})
    await clock.settle()
    const refused =
      'notify: INVALID (event-type): event_type must be 1 to 255 characters without control characters.'
    expect(lines).toEqual([refused, 'notify: FORBIDDEN: Not yours.'])
    await clock.advance(999)
    notifier.info('', {})
    await clock.settle()
    expect(lines).toHaveLength(2)
    await clock.advance(1)
    notifier.info('', {})
    await clock.settle()
    expect(lines.slice(2)).toEqual([`${refused} (and 3 more since the last such line)`])
    await clock.advance(5_000)
    notifier.info('', {})
    await clock.settle()
    expect(lines.slice(3)).toEqual([refused])
    await notifier.close()
    await clock.settle()
    expect(lines.slice(4)).toEqual(['notify: 4 more of FORBIDDEN'])
  })

  test('a line names the cause, and holds nothing that a terminal acts on', async () => {
    const cause = new Error('getaddrinfo ENOTFOUND\n    at secret place')
    const { clock, notifier } = emitting({
      notifier: silent,
      reply: trouble('FORBIDDEN', { message: 'Not \u001b[31myours\u0007.', cause }),
    })
    notifier.info('a', {})
    await clock.settle()
    expect(lines).toEqual(['notify: FORBIDDEN: Not ?[31myours?. Cause: Error: getaddrinfo ENOTFOUND'])
  })

  test('a failure that is awaited is no line', async () => {
    const { clock, notifier } = emitting({ notifier: silent, reply: trouble('FORBIDDEN') })
    await notifier.info('a', {}).catch(() => {})
    await clock.settle()
    expect(lines).toEqual([])
  })

  test('a status is a line when it changes, and that a connection was made is none', async () => {
    const { clock, driver, notifier } = emitting({ notifier: silent, reply: 'confirm' })
    driver.status('up')
    await notifier.info('a', {})
    expect(lines).toEqual([])
    driver.reply = DOWN
    notifier.info('a', {})
    await clock.advance(5_000)
    expect(lines).toEqual(['notify: scripted is down: UNAVAILABLE refused'])
    driver.status('down', DOWN)
    driver.status('blocked', trouble('THROTTLED', { message: 'Memory alarm.' }))
    driver.status('blocked', trouble('THROTTLED', { message: 'Memory alarm.' }))
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    expect(lines.slice(1)).toEqual([
      'notify: scripted is blocked: THROTTLED Memory alarm.',
      'notify: scripted is up',
    ])
    driver.reply = trouble('UNROUTABLE', { scope: 'destination', message: 'No queue.' })
    notifier.info('a', {}).catch(() => {})
    await clock.settle()
    expect(lines.slice(3)).toEqual(['notify: scripted notifications.info is down: UNROUTABLE No queue.'])
    driver.status('down')
    await clock.settle()
    expect(lines.slice(4)).toEqual(['notify: scripted is down'])
  })

  test('a stderr that is gone, or no console at all, crashes nothing', () => {
    vi.spyOn(console, 'error').mockImplementation(() => {
      throw new Error('EPIPE')
    })
    expect(() => complain('a')).not.toThrow()
    vi.stubGlobal('console', undefined)
    expect(() => complain('a')).not.toThrow()
    vi.unstubAllGlobals()
  })
})

describe('onStatus', () => {
  test('hears of each change with its reason, of the transport and of destinations', async () => {
    const { clock, driver, notifier, statuses } = emitting({ reply: DOWN })
    notifier.info('a', {})
    await clock.advance(10_000)
    expect(statuses).toEqual([{ driver: 'scripted', state: 'down', failure: DOWN }])
    const unroutable = trouble('UNROUTABLE', { scope: 'destination' })
    driver.reply = unroutable
    await clock.advance(2_000)
    expect(statuses.slice(1)).toEqual([
      { driver: 'scripted', state: 'up' },
      { driver: 'scripted', state: 'down', failure: unroutable, destination: 'notifications.info' },
    ])
    driver.reply = 'confirm'
    await clock.advance(2_000)
    notifier.info('a', {})
    await clock.settle()
    expect(statuses.slice(3)).toEqual([
      { driver: 'scripted', state: 'up', destination: 'notifications.info' },
    ])
    driver.status('blocked')
    driver.status('up')
    await clock.settle()
    expect(statuses.slice(4)).toEqual([
      { driver: 'scripted', state: 'blocked' },
      { driver: 'scripted', state: 'up' },
    ])
  })

  test('hears nothing twice, and hears when the reason changes', async () => {
    const { clock, driver, notifier, statuses } = emitting({ reply: DOWN })
    for (let index = 0; index < 20; index++) notifier.info('a', {})
    await clock.advance(20_000)
    driver.reply = trouble('UNAUTHENTICATED', { scope: 'transport', retryable: true })
    await clock.advance(4_000)
    expect(statuses.map(({ state, failure }) => `${state} ${failure?.code}`)).toEqual([
      'down UNAVAILABLE',
      'down UNAUTHENTICATED',
    ])
  })
})

describe('a hook of the user', () => {
  const boom = () => {
    throw new Error('theirs')
  }
  const odd = [
    ['throws', boom, 'threw: Error: theirs'],
    ['rejects', async () => boom(), 'rejected: Error: theirs'],
    [
      'throws what cannot be shown',
      () => {
        throw Object.create(null)
      },
      'threw: something that cannot be shown',
    ],
  ] as const

  test.each(odd)(
    'onFailure that %s costs a line, and the next failure is told all the same',
    async (_, hook, line) => {
      const onFailure = vi.fn(hook)
      const { clock, notifier } = emitting({ notifier: { onFailure } })
      notifier.info('', {})
      notifier.info('', {})
      await clock.settle()
      expect(onFailure).toHaveBeenCalledTimes(2)
      expect(lines).toEqual([`notify: onFailure ${line}`, `notify: onFailure ${line}`])
      expect(notifier.stats()).toMatchObject({ failed: 2, pending: 0 })
    },
  )

  test.each(odd)('onStatus that %s costs a line, and nothing else', async (_, hook, line) => {
    const { clock, driver, notifier } = emitting({ reply: DOWN, notifier: { onStatus: hook } })
    const emission = notifier.info('a', {})
    await clock.settle()
    driver.reply = 'confirm'
    driver.status('up')
    await expect(emission).resolves.toBeDefined()
    await clock.settle()
    expect(lines).toEqual([`notify: onStatus ${line}`, `notify: onStatus ${line}`])
  })

  test('may emit: from onFailure without recursion, each told in a macrotask of its own', async () => {
    let depth = 0
    let deepest = 0
    let told = 0
    const onFailure = () => {
      deepest = Math.max(deepest, ++depth)
      if (++told < 1_000) notifier.info('', {})
      depth--
    }
    const { clock, notifier } = emitting({ notifier: { onFailure } })
    notifier.info('', {})
    await clock.settle()
    expect({ told, deepest }).toEqual({ told: 1_000, deepest: 1 })
    expect(notifier.stats()).toMatchObject({ emitted: 1_000, failed: 1_000, pending: 0 })
  })

  test('that emits what it hears of does not go round for ever once the notifier is closed', async () => {
    let heard = 0
    const { clock, notifier } = emitting({
      notifier: {
        onFailure: ({ code }) => {
          heard++
          notifier.error('notifying.failed', { code })
        },
      },
    })
    await notifier.close()
    notifier.info('late', {})
    for (let rounds = 0; rounds < 10; rounds++) {
      await clock.microtasks()
      clock.runDeferred()
    }
    expect(heard).toBe(1)
    expect(clock.deferred).toBe(0)
    expect(notifier.stats()).toMatchObject({ emitted: 2, failed: 2 })
    expect(lines).toHaveLength(1)
  })

  test('may be of another realm, and reject', async () => {
    const onFailure: () => void = runInNewContext('async () => { throw 7 }')
    const { clock, notifier } = emitting({ notifier: { onFailure } })
    notifier.info('', {})
    await clock.settle()
    expect(lines).toEqual(['notify: onFailure rejected: 7'])
  })

  test('may return the emission it makes: that is not asking for it', async () => {
    const heard: string[] = []
    const { clock, notifier } = emitting({
      notifier: {
        onFailure: (error) => {
          heard.push(error.reason ?? error.code)
          return heard.length === 1 ? notifier.notify('NONE' as 'INFO', 'a', {}) : undefined
        },
      },
    })
    notifier.info('', {})
    await clock.settle()
    expect(heard).toEqual(['event-type', 'priority'])
  })

  test('may emit to as many topics as it likes, from onStatus, while messages are handed over', async () => {
    let made = 0
    const onStatus = () => {
      for (let index = 0; index < 700; index++)
        notifier.error('from onStatus', {}, { topics: [`made-${made++}`] })
    }
    const driver = scripted({ reply: 'confirm' })
    const { clock, notifier } = emitting({ notifier: { driver, onStatus } })
    for (let rounds = 0; rounds < 4; rounds++) {
      for (const topic of ['one', 'two', 'three']) notifier.info('a', {}, { topics: [topic] })
      driver.reply = ({ destination: { topic } }) =>
        topic === 'one' ? trouble('UNAVAILABLE', { scope: 'destination' }) : 'confirm'
      await clock.settle()
      driver.reply = 'confirm'
      await clock.advance(2_000)
    }
    expect(made).toBeGreaterThan(5_000)
    expect(notifier.stats()).toMatchObject({ emitted: made + 12, confirmed: made + 12, pending: 0 })
  })

  test('may close the notifier', async () => {
    let closed: ReturnType<Notifier['close']> | undefined
    const { clock, notifier } = emitting({
      reply: DOWN,
      notifier: {
        onStatus: () => {
          closed ??= notifier.close({ timeoutMs: 100 })
        },
      },
    })
    const emission = notifier.info('a', {}).catch(({ code }) => code)
    await clock.advance(100)
    await clock.advance(200)
    expect(await closed).toMatchObject({ failed: 1, pending: 0 })
    expect(await emission).toBe('CLOSED')
    expect(clock.timers).toBe(0)
  })
})
