import { describe, expect, test, vi } from 'vitest'
import { createNotifier, type NotifyError } from '../src/index.ts'
import { Lanes } from '../src/sender/lane.ts'
import { FakeClock } from './support/clock.ts'
import { type Emitting, emitting } from './support/emitting.ts'
import { DOWN, type Scripted, scripted, trouble } from './support/publisher.ts'

const FOREVER = { timeoutMs: Number.POSITIVE_INFINITY }
const UNROUTABLE = trouble('UNROUTABLE', { scope: 'destination', reason: 'no-route' })
const AWAY = trouble('UNAVAILABLE', { scope: 'destination', reason: 'leader-moving' })
const PASSWORD = trouble('UNAUTHENTICATED', { scope: 'transport', reason: 'password' })

/** Messages of each call since the `from`-th. */
const sizes = (driver: Scripted, from = 0) => driver.calls.slice(from).map(({ messages }) => messages.length)

/** When each call was made, on the notifier's clock. */
function timesOf({ clock, driver }: Emitting): number[] {
  const times: number[] = []
  const { reply } = driver
  driver.reply = (message) => {
    times.push(clock.now())
    return typeof reply === 'function' ? reply(message) : reply
  }
  return times
}
const gapsOf = (times: readonly number[]) =>
  times.slice(1).map((time, index) => time - (times[index] as number))

const codes = (errors: readonly NotifyError[]) => errors.map(({ code }) => code)

describe('an outage of the transport', () => {
  test('lets one message at a time find out, the first one, however many wait', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (let index = 0; index < 50; index++) notifier.info(`e${index}`, {})
    await clock.settle()
    driver.fail(DOWN)
    for (let rounds = 0; rounds < 10; rounds++) {
      await clock.advance(10_000)
      expect(driver.open.map(({ message }) => message)).toEqual(driver.calls.at(-1)?.messages)
      driver.fail(DOWN)
    }
    expect(sizes(driver)).toEqual([50, ...Array.from({ length: 10 }, () => 1)])
    expect(driver.sent.slice(50)).toEqual(Array.from({ length: 10 }, () => 'e0'))
    expect(notifier.stats()).toMatchObject({ pending: 50, failed: 0 })
  })

  test('costs the same number of attempts with 1 message waiting as with 10,000', async () => {
    const attempts = async (waiting: number) => {
      const setup = emitting({ reply: DOWN, notifier: FOREVER })
      for (let index = 0; index < waiting; index++) setup.notifier.info('a', {})
      await setup.clock.settle()
      const before = setup.driver.calls.length
      await setup.clock.advance(60_000)
      return setup.driver.calls.length - before
    }
    const [one, many] = [await attempts(1), await attempts(10_000)]
    expect(one).toBeGreaterThan(30)
    expect(many).toBe(one)
  })

  test('is probed at full jitter, at most 2 s apart, growing from backoff.minMs', async () => {
    const firsts: number[] = []
    const all: number[] = []
    for (let seed = 1; seed <= 40; seed++) {
      const clock = new FakeClock(seed)
      const driver = scripted({ reply: DOWN })
      const notifier = createNotifier({
        publisherId: 'test',
        driver,
        clock,
        onFailure: () => {},
        onStatus: () => {},
        ...FOREVER,
      })
      const times = timesOf({ clock, driver } as Emitting)
      notifier.info('a', {})
      await clock.advance(30_000)
      const gaps = gapsOf(times)
      firsts.push(gaps[0] as number)
      all.push(...gaps.slice(5))
    }
    // Timers count whole milliseconds.
    expect(Math.max(...firsts)).toBeLessThanOrEqual(101)
    expect(new Set(firsts).size).toBeGreaterThan(20)
    expect(Math.max(...all)).toBeLessThanOrEqual(2_001)
    expect(Math.max(...all)).toBeGreaterThan(1_800)
    expect(Math.min(...all)).toBeLessThan(200)
    const mean = all.reduce((sum, gap) => sum + gap, 0) / all.length
    expect(mean).toBeGreaterThan(900)
    expect(mean).toBeLessThan(1_100)
  })

  test('is probed also when the probe falls due between the look at what may go and the setting of the timer', async () => {
    // As a real clock does, it goes on while one looks at it.
    class GoingOn extends FakeClock {
      override now(): number {
        this.block(0.25)
        return super.now()
      }
    }
    const forgotten: number[] = []
    for (let seed = 1; seed <= 40; seed++) {
      const clock = new GoingOn(seed)
      const driver = scripted({ reply: DOWN })
      const notifier = createNotifier({
        publisherId: 'test',
        driver,
        clock,
        onFailure: () => {},
        onStatus: () => {},
        ...FOREVER,
      })
      notifier.info('a', {})
      await clock.advance(30_000)
      const probes = driver.calls.length
      await clock.advance(10_000)
      if (driver.calls.length === probes) forgotten.push(seed)
    }
    expect(forgotten).toEqual([])
  })

  test('is probed as often as backoff.maxMs says where that is less than 2 s', async () => {
    const setup = emitting({ reply: DOWN, notifier: { ...FOREVER, backoff: { minMs: 10, maxMs: 50 } } })
    const times = timesOf(setup)
    setup.notifier.info('a', {})
    await setup.clock.advance(10_000)
    expect(Math.max(...gapsOf(times))).toBeLessThanOrEqual(51)
    expect(Math.max(...gapsOf(times))).toBeGreaterThan(40)
  })

  test('waits as long as the broker says, also above 2 s', async () => {
    const setup = emitting({ reply: { ...DOWN, retryAfterMs: 7_000 }, notifier: FOREVER })
    const times = timesOf(setup)
    setup.notifier.info('a', {})
    await setup.clock.advance(70_000)
    const gaps = gapsOf(times)
    expect(gaps.length).toBeGreaterThanOrEqual(9)
    for (const gap of gaps) expect(gap).toBeGreaterThanOrEqual(7_000)
  })

  test('ends for all at once, in the order of the emits', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    const names = Array.from({ length: 20 }, (_, index) => `e${index}`)
    for (const name of names) notifier.info(name, {})
    await clock.settle()
    for (const name of names.toReversed()) driver.fail(DOWN, name)
    await clock.advance(2_000)
    notifier.info('later', {})
    expect(driver.sent.slice(20)).toEqual(['e0'])
    driver.reply = 'confirm'
    driver.confirm()
    await clock.settle()
    expect(sizes(driver)).toEqual([20, 1, 20])
    expect(driver.sent.slice(21)).toEqual([...names.slice(1), 'later'])
    expect(notifier.stats()).toMatchObject({ confirmed: 21, pending: 0 })
  })

  test('begins anew with a short wait after a recovery', async () => {
    for (let seed = 1; seed <= 10; seed++) {
      const setup = emitting({ seed, reply: DOWN, notifier: FOREVER })
      const { clock, driver, notifier } = setup
      notifier.info('a', {})
      await clock.advance(60_000)
      driver.reply = 'confirm'
      await clock.advance(2_001)
      expect(notifier.stats().confirmed).toBe(1)
      driver.reply = DOWN
      const times = timesOf(setup)
      notifier.info('b', {})
      await clock.advance(5_000)
      expect(gapsOf(times)[0]).toBeLessThanOrEqual(101)
    }
  })

  test.each(['up', 'down'] as const)('a driver that says it is %s', async (state) => {
    const { clock, driver, notifier } = emitting({ reply: DOWN, notifier: FOREVER })
    notifier.info('a', {})
    await clock.advance(20_000)
    const before = driver.calls.length
    driver.status(state, state === 'down' ? DOWN : undefined)
    await clock.settle()
    // Up: the next probe goes at once. Down: nothing that was not known.
    expect(driver.calls.length - before).toBe(state === 'up' ? 1 : 0)
  })

  test('is probed within the window: where a call is still open and one is all there may be, later', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { window: { messages: 10, bytes: 10_000, calls: 1 } },
      notifier: FOREVER,
    })
    for (const name of ['a', 'b']) notifier.info(name, {})
    await clock.settle()
    driver.fail(DOWN, 'a')
    await clock.advance(5_000)
    expect(driver.calls).toHaveLength(1)
    driver.confirm('b')
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b', 'a'])
  })

  test('a driver that says it is up while a probe is on its way gets no second one', async () => {
    const { clock, driver, notifier } = emitting({ reply: DOWN, notifier: FOREVER })
    notifier.info('a', {})
    notifier.info('b', {})
    await clock.settle()
    driver.reply = 'hold'
    await clock.advance(200)
    expect(driver.open).toHaveLength(1)
    driver.status('up')
    await clock.advance(1_000)
    expect(driver.open).toHaveLength(1)
  })
})

describe('only the probe opens a gate', () => {
  test('successes of what was handed over before confirm, and open nothing', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (const name of ['a', 'b', 'c']) notifier.info(name, {})
    await clock.settle()
    driver.fail({ ...DOWN, retryAfterMs: 1_000 }, 'a')
    driver.confirm('b')
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ confirmed: 1, pending: 2 })
    notifier.info('d', {})
    await clock.advance(999)
    expect(driver.sent).toEqual(['a', 'b', 'c'])
    await clock.advance(1)
    expect(driver.sent).toEqual(['a', 'b', 'c', 'a'])
    driver.confirm('c')
    await clock.advance(5_000)
    expect(driver.sent).toEqual(['a', 'b', 'c', 'a'])
    driver.confirm('a')
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b', 'c', 'a', 'd'])
  })

  test('failures of what was handed over before do not put the next probe off', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    notifier.info('a', {})
    notifier.info('b', {})
    await clock.settle()
    driver.fail({ ...DOWN, retryAfterMs: 1_000 }, 'a')
    await clock.advance(900)
    driver.fail({ ...DOWN, retryAfterMs: 1_000 }, 'b')
    await clock.advance(100)
    expect(driver.open).toHaveLength(1)
  })

  test('a failure of narrower scope opens it, and then acts at its own', async () => {
    const { clock, driver, notifier, statuses } = emitting({ notifier: FOREVER })
    for (const name of ['a', 'b']) notifier.info(name, {})
    notifier.error('other', {})
    await clock.settle()
    driver.fail(DOWN)
    await clock.advance(200)
    // The most important one probes.
    expect(driver.open.map(({ message }) => message.destination.priority)).toEqual(['ERROR'])
    driver.fail(trouble('THROTTLED', { retryAfterMs: 60_000 }))
    await clock.settle()
    expect(driver.sent.slice(4)).toEqual(['a', 'b'])
    driver.fail(DOWN)
    await clock.advance(200)
    driver.fail(AWAY)
    await clock.advance(200)
    expect(statuses.map(({ state, destination = '' }) => `${state} ${destination}`)).toEqual([
      'down ',
      'up ',
      'down ',
      'up ',
      'down notifications.info',
    ])
    expect(driver.open).toHaveLength(1)
  })

  test('but an attempt-timeout does not', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { ...FOREVER, attemptTimeoutMs: 1_000 } })
    notifier.info('a', {})
    notifier.error('b', {})
    await clock.settle()
    driver.fail(DOWN)
    for (let rounds = 0; rounds < 5; rounds++) {
      await clock.advance(3_100)
      expect(driver.open.filter(({ call }) => call === driver.calls.at(-1))).toHaveLength(1)
    }
    expect(new Set(sizes(driver))).toEqual(new Set([1]))
  })

  test('a probe that its caller gives up still finds out', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    const abort = new AbortController()
    notifier.info('a', {}, { signal: abort.signal })
    notifier.info('b', {})
    await clock.settle()
    driver.fail(DOWN)
    await clock.advance(200)
    expect(driver.open).toHaveLength(1)
    abort.abort()
    await clock.advance(5_000)
    expect(driver.calls).toHaveLength(2)
    driver.confirm()
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b', 'a', 'b'])
    expect(notifier.stats()).toMatchObject({ failed: 1, drivers: [{ late: 1 }] })
  })
})

describe('an outage of one destination', () => {
  test('leaves the others alone', async () => {
    const { clock, driver, notifier } = emitting({
      notifier: FOREVER,
      reply: ({ destination }) => (destination.priority === 'INFO' ? AWAY : 'confirm'),
    })
    for (let rounds = 0; rounds < 20; rounds++) {
      notifier.info('a', {})
      notifier.warn('b', {})
      await clock.advance(500)
    }
    expect(notifier.stats()).toMatchObject({ confirmed: 20, pending: 20 })
    const away = driver.calls.filter(({ messages }) => messages[0]?.destination.priority === 'INFO')
    expect(away.length).toBeGreaterThan(5)
    for (const { messages } of away) expect(messages).toHaveLength(1)
  })

  test('is probed once at a time, and opened by its own probe', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (const name of ['a', 'b', 'c']) notifier.info(name, {})
    await clock.settle()
    driver.fail(AWAY)
    await clock.advance(5_000)
    expect(driver.sent.slice(3)).toEqual(['a'])
    notifier.error('other', {})
    await clock.settle()
    driver.confirm('other')
    await clock.advance(5_000)
    expect(driver.sent.slice(3)).toEqual(['a', 'other'])
    driver.confirm()
    await clock.settle()
    expect(driver.sent.slice(3)).toEqual(['a', 'other', 'b', 'c'])
  })

  test('within one of the transport is probed when the transport is back', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    notifier.info('a', {})
    notifier.warn('b', {})
    await clock.settle()
    driver.fail(AWAY, 'a')
    driver.fail(DOWN, 'b')
    await clock.advance(2_000)
    // WARN is the one without trouble of its own.
    expect(driver.sent.slice(2)).toEqual(['b'])
    driver.confirm()
    await clock.settle()
    expect(driver.sent.slice(2)).toEqual(['b', 'a'])
    driver.confirm()
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ confirmed: 2, pending: 0 })
  })

  test('where only such wait, one asks for both', async () => {
    const { clock, driver, notifier, statuses } = emitting({ notifier: FOREVER })
    notifier.info('a', {})
    await clock.settle()
    driver.fail(AWAY)
    await clock.advance(200)
    driver.fail(DOWN)
    await clock.advance(200)
    driver.confirm()
    await clock.settle()
    expect(driver.calls).toHaveLength(3)
    expect(statuses.map(({ state, destination = '' }) => `${state} ${destination}`)).toEqual([
      'down notifications.info',
      'down ',
      'up ',
      'up notifications.info',
    ])
  })

  test.each([UNROUTABLE, 'confirm' as const])(
    'many destinations are not remembered for ever (%#)',
    async (reply) => {
      const get = vi.spyOn(Lanes.prototype, 'get')
      const { clock, notifier } = emitting({ reply })
      let most = 0
      for (let index = 0; index < 3_000; index++) {
        notifier.info('a', {}, { topics: [`made-${index}`] })
        most = Math.max(most, (get.mock.contexts[0] as Lanes | undefined)?.all.length ?? 0)
        if (index % 100 === 0) await clock.settle()
      }
      await clock.settle()
      get.mockRestore()
      expect(most).toBeGreaterThan(400)
      expect(most).toBeLessThanOrEqual(602)
      expect((await notifier.health()).drivers[0]?.warnings.length).toBeLessThanOrEqual(602)
      const { confirmed, failed } = notifier.stats()
      expect([confirmed, failed]).toEqual(reply === 'confirm' ? [3_000, 0] : [0, 3_000])
    },
  )

  test('of many destinations the trouble of one is forgotten last', async () => {
    const { clock, driver, notifier } = emitting({ reply: { ...UNROUTABLE, retryAfterMs: 60_000 } })
    await notifier.info('a', {}, { topics: ['missing'] }).catch(() => {})
    driver.reply = 'confirm'
    for (let index = 0; index < 2_000; index++) {
      notifier.info('a', {}, { topics: [`made-${index}`] })
      if (index % 100 === 0) await clock.settle()
    }
    const before = driver.calls.length
    await expect(notifier.info('a', {}, { topics: ['missing'] })).rejects.toMatchObject({
      code: 'UNROUTABLE',
    })
    expect(
      driver.calls
        .slice(before)
        .flatMap(({ messages }) => messages)
        .some(({ destination }) => destination.topic === 'missing'),
    ).toBe(false)
  })
})

describe('what waiting cannot cure', () => {
  test('fails what waits, and new emits with it, until the next probe', async () => {
    const { clock, driver, failures, notifier } = emitting({
      notifier: { ...FOREVER, backoff: { minMs: 1_000 } },
    })
    notifier.info('a', {})
    await clock.settle()
    driver.fail(DOWN)
    for (const name of ['b', 'c']) notifier.info(name, {}, { key: 'k' })
    notifier.error('d', {})
    await clock.advance(1_000)
    driver.fail(PASSWORD)
    expect(notifier.stats()).toMatchObject({ failed: 4, pending: 0 })
    let reads = 0
    await expect(
      notifier.info('e', {
        get a() {
          return ++reads
        },
      }),
    ).rejects.toMatchObject({
      code: 'UNAUTHENTICATED',
      reason: 'password',
      maybeSent: false,
      receipt: { results: [{ attempts: 0 }] },
    })
    expect(reads).toBe(0)
    await clock.settle()
    expect(codes(failures)).toEqual(Array.from({ length: 4 }, () => 'UNAUTHENTICATED'))
    expect(driver.calls).toHaveLength(2)

    // Then the next emit finds out, and what comes meanwhile waits for it.
    await clock.advance(2_000)
    notifier.info('f', {})
    notifier.info('g', {})
    await clock.settle()
    expect(driver.sent.slice(2)).toEqual(['f'])
    driver.fail(PASSWORD)
    expect(notifier.stats()).toMatchObject({ failed: 7, pending: 0 })
    await clock.advance(2_000)
    notifier.info('h', {})
    notifier.info('i', {})
    await clock.settle()
    driver.reply = 'confirm'
    driver.confirm()
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ confirmed: 2, failed: 7, pending: 0 })
    await expect(notifier.info('j', {})).resolves.toBeDefined()
  })

  test('also where one that was handed over before says so of a gate that is shut already', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    for (const name of ['a', 'b', 'c']) notifier.info(name, {})
    await clock.settle()
    driver.fail({ ...DOWN, retryAfterMs: 5_000 }, 'a')
    driver.fail(PASSWORD, 'b')
    expect(notifier.stats()).toMatchObject({ failed: 2, pending: 1 })
    await expect(notifier.info('d', {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    await clock.advance(4_999)
    await expect(notifier.info('e', {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    await clock.advance(1)
    driver.reply = 'confirm'
    await expect(notifier.info('f', {})).resolves.toBeDefined()
  })

  test('is no hot loop: 1,000 emits a second cost a probe every other second', async () => {
    const { clock, driver, notifier } = emitting({ reply: PASSWORD })
    for (let ms = 0; ms < 10_000; ms += 10) {
      for (let index = 0; index < 10; index++) notifier.info('a', {})
      await clock.advance(10)
    }
    expect(notifier.stats()).toMatchObject({ emitted: 10_000, failed: 10_000 })
    expect(driver.calls.length).toBeLessThan(40)
  })

  test('at one destination spares the others', async () => {
    const { clock, driver, notifier } = emitting({
      reply: ({ destination }) => (destination.topic === 'missing' ? UNROUTABLE : 'confirm'),
    })
    await expect(notifier.info('a', {}, { topics: ['missing'] })).rejects.toMatchObject({
      code: 'UNROUTABLE',
      receipt: { results: [{ attempts: 1 }] },
    })
    await expect(notifier.info('b', {}, { topics: ['missing', 'there'] })).rejects.toMatchObject({
      code: 'UNROUTABLE',
      receipt: {
        results: [
          { topic: 'missing', attempts: 0 },
          { topic: 'there', status: 'confirmed' },
        ],
      },
    })
    await expect(notifier.info('c', {})).resolves.toBeDefined()
    await clock.advance(2_000)
    driver.reply = 'confirm'
    await expect(notifier.info('d', {}, { topics: ['missing'] })).resolves.toBeDefined()
  })

  test('does not touch what is in flight, which ends by its own answer', async () => {
    const { clock, driver, notifier } = emitting()
    const ends = ['a', 'b', 'c'].map((name) =>
      notifier.info(name, {}).then(
        () => 'confirmed',
        ({ code }) => code,
      ),
    )
    await clock.settle()
    driver.fail(PASSWORD, 'a')
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 2 })
    driver.confirm('b')
    driver.fail(DOWN, 'c')
    await clock.advance(2_000)
    driver.confirm()
    expect(await Promise.all(ends)).toEqual(['UNAUTHENTICATED', 'confirmed', 'confirmed'])
  })

  test('is seen to be over at once when the driver says it is up', async () => {
    const { clock, driver, notifier } = emitting({ reply: { ...PASSWORD, retryAfterMs: 3_600_000 } })
    await expect(notifier.info('a', {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    await expect(notifier.info('a', {})).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    await expect(notifier.info('a', {})).resolves.toBeDefined()
  })
})

describe('while the broker asks for silence', () => {
  test('nothing is handed over, and all of it afterwards, the most important first', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    driver.status('blocked')
    for (const method of ['info', 'critical', 'debug'] as const) notifier[method](method, {})
    await clock.advance(20_000)
    expect(driver.calls).toEqual([])
    driver.status('up')
    await clock.settle()
    expect(driver.sent).toEqual(['critical', 'info', 'debug'])
  })

  test('the clocks of attempts stand still', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { ...FOREVER, attemptTimeoutMs: 1_000 } })
    notifier.info('a', {})
    await clock.settle()
    await clock.advance(900)
    driver.status('blocked')
    await clock.advance(30_000)
    driver.status('blocked')
    await clock.advance(30_000)
    expect(driver.calls).toHaveLength(1)
    driver.status('up')
    await clock.advance(99)
    expect(driver.calls).toHaveLength(1)
    await clock.advance(2)
    await clock.advance(101)
    expect(driver.calls).toHaveLength(2)
  })

  test('deadlines and signals run on', async () => {
    const { clock, driver, failures, notifier } = emitting({ notifier: { timeoutMs: 5_000 } })
    notifier.info('in flight', {})
    await clock.settle()
    driver.status('blocked')
    notifier.info('waiting', {})
    const abort = new AbortController()
    notifier.info('aborted', {}, { signal: abort.signal })
    abort.abort()
    await clock.advance(5_000)
    expect(failures.map(({ code, maybeSent }) => [code, maybeSent])).toEqual([
      ['ABORTED', false],
      ['DEADLINE', true],
      ['DEADLINE', false],
    ])
    driver.status('up')
    await clock.settle()
    expect(driver.sent).toEqual(['in flight'])
  })

  test('backoff and gates run on, and nothing of it is handed over until it is over', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    notifier.info('a', {})
    notifier.error('b', {})
    await clock.settle()
    driver.fail(trouble('THROTTLED'), 'a')
    driver.fail(AWAY, 'b')
    driver.status('blocked')
    await clock.advance(60_000)
    expect(driver.calls).toHaveLength(2)
    driver.status('up')
    await clock.settle()
    expect(driver.calls).toHaveLength(4)
  })

  test('a program that waits for it does not end, and one with nothing pending may', async () => {
    const { clock, driver, notifier } = emitting({ notifier: FOREVER })
    driver.status('blocked')
    await clock.settle()
    expect(clock.timers).toBe(0)
    const abort = new AbortController()
    notifier.info('a', {}, { signal: abort.signal })
    await clock.advance(10 * 3_600_000)
    expect(clock.timers).toBe(1)
    abort.abort()
    await clock.settle()
    expect(clock.timers).toBe(0)
  })

  test('what is settled meanwhile counts', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    driver.status('blocked')
    driver.confirm()
    expect(notifier.stats()).toMatchObject({ confirmed: 1, pending: 0 })
  })

  test('down is not silence: a connection lost then is tried again', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'confirm' })
    driver.status('blocked')
    const emission = notifier.info('a', {})
    driver.status('down', DOWN)
    await expect(emission).resolves.toBeDefined()
    expect(clock.now()).toBe(0)
  })

  test('a hand-over in progress stops there', async () => {
    const { clock, driver, notifier } = emitting({ capabilities: { maxBatch: 1 } })
    driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message)
      if (driver.calls.length === 2) driver.status('blocked')
    }
    for (let index = 0; index < 5; index++) notifier.info('a', {})
    await clock.settle()
    expect(driver.calls).toHaveLength(2)
    driver.status('up')
    await clock.settle()
    expect(driver.calls).toHaveLength(5)
  })
})
