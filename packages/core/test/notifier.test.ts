import { describe, expect, test } from 'vitest'
import { type Notifier, PRIORITIES } from '../src/index.ts'
import { type Emitting, emitting } from './support/emitting.ts'
import { DOWN, envelopeOf, scripted, trouble } from './support/publisher.ts'

const METHODS = ['debug', 'sample', 'info', 'audit', 'warn', 'error', 'critical'] as const

describe('what is sent', () => {
  test('each method sends its priority to a destination of its own', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    for (const method of METHODS) await notifier[method]('a', {})
    for (const priority of PRIORITIES) await notifier.notify(priority, 'a', {})
    const seen = driver.handed.map(({ message }) => [message.destination.name, envelopeOf(message).priority])
    const expected = PRIORITIES.map((priority) => [`notifications.${priority.toLowerCase()}`, priority])
    expect(seen).toEqual([...expected, ...expected])
  })

  test('a message carries the envelope, ids, key, headers and content type, and is one per topic', async () => {
    const { clock, driver, notifier } = emitting({
      reply: 'confirm',
      notifier: { headers: { a: '1', b: '1' } },
    })
    clock.jump(-12_345)
    const receipt = await notifier.warn(
      'compute.create',
      { size: 7 },
      { topics: ['one', 'two'], key: 'k', headers: { b: '2', 'x-y': '' } },
    )
    expect(driver.handed.map(({ message: { body, ...rest } }) => [rest, envelopeOf({ body })])).toEqual(
      ['one', 'two'].map((topic) => [
        {
          id: receipt.message_id,
          dedupId: `${receipt.message_id}/${topic}.warn`,
          destination: { topic, priority: 'WARN', name: `${topic}.warn` },
          contentType: 'application/json',
          headers: { a: '1', b: '2', 'x-y': '' },
          key: 'k',
        },
        {
          message_id: receipt.message_id,
          publisher_id: 'test',
          timestamp: '2026-11-21T23:59:47.655Z',
          priority: 'WARN',
          event_type: 'compute.create',
          payload: { size: 7 },
        },
      ]),
    )
    expect(receipt.results.map(({ topic, status }) => [topic, status])).toEqual([
      ['one', 'confirmed'],
      ['two', 'confirmed'],
    ])
  })

  test('a message without key or headers has none', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    await notifier.info('a', {})
    const [{ message }] = driver.handed as [(typeof driver.handed)[number]]
    expect('key' in message).toBe(false)
    expect(message.headers).toEqual({})
  })

  test('headers that a program names like its own machinery are data', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    await notifier.info('a', {}, { headers: { constructor: 'a', toString: 'b', CC: 'c' } })
    expect(Object.entries(driver.handed[0]?.message.headers ?? {})).toEqual([
      ['constructor', 'a'],
      ['toString', 'b'],
      ['CC', 'c'],
    ])
    expect({}.constructor).toBe(Object)
  })

  test('emits of one turn travel together, one destination to a call, within the limits of a call', async () => {
    const { clock, driver, notifier } = emitting({
      reply: 'confirm',
      capabilities: { maxBatch: 3, maxBatchBytes: 1_000, window: { messages: 100, bytes: 100_000 } },
    })
    for (let index = 0; index < 7; index++) notifier.info('a', { index })
    notifier.error('b', {})
    notifier.debug('large', { text: 'x'.repeat(500) })
    notifier.debug('large', { text: 'x'.repeat(500) })
    expect(driver.calls).toEqual([])
    await clock.settle()
    expect(driver.calls.map(({ messages }) => [messages[0]?.destination.priority, messages.length])).toEqual([
      ['ERROR', 1],
      ['INFO', 3],
      ['INFO', 3],
      ['INFO', 1],
      ['DEBUG', 1],
      ['DEBUG', 1],
    ])
    for (const { messages } of driver.calls)
      expect(new Set(messages.map(({ destination }) => destination)).size).toBe(1)
  })

  test('below the bounds an emit waits for nothing, and while calls are bounded messages gather', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { window: { messages: 100, bytes: 100_000, calls: 2 } },
    })
    for (let index = 0; index < 6; index++) {
      notifier.info(`e${index}`, {})
      await clock.settle()
    }
    notifier.error('elsewhere', {})
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([1, 1, 1])
    driver.confirm('e0')
    await clock.settle()
    expect(driver.calls.map(({ messages }) => messages.length)).toEqual([1, 1, 1, 4])
    expect(driver.sent).toEqual(['e0', 'e1', 'elsewhere', 'e2', 'e3', 'e4', 'e5'])
  })

  test('no more is in flight than the window, in messages and bytes', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { maxBatch: 4, window: { messages: 10, bytes: 2_000 } },
    })
    for (let index = 0; index < 30; index++) notifier.info('a', {})
    for (let index = 0; index < 30; index++) notifier.error('a', { text: 'x'.repeat(300) })
    for (let rounds = 0; rounds < 100; rounds++) {
      await clock.settle()
      const bytes = driver.open.reduce((sum, { message }) => sum + message.body.length, 0)
      expect(driver.open.length).toBeLessThanOrEqual(10)
      expect(bytes).toBeLessThanOrEqual(2_000)
      driver.open[rounds % Math.max(1, driver.open.length)]?.settle()
    }
    expect(notifier.stats()).toMatchObject({ confirmed: 60, pending: 0 })
  })

  describe('the window', () => {
    const window = { messages: 10, bytes: 100_000 }
    const inFlight = ({ driver }: Emitting, topic: string) =>
      driver.open.filter(({ message }) => message.destination.topic === topic).length
    const emitAll = ({ notifier }: Emitting, count: number, topic: string) => {
      for (let index = 0; index < count; index++) notifier.info(topic, {}, { topics: [topic] })
    }

    test('is all of one destination that is the only one, and nearly all of one that is busy alone', async () => {
      const setup = emitting({ capabilities: { window } })
      emitAll(setup, 20, 'one')
      await setup.clock.settle()
      expect(inFlight(setup, 'one')).toBe(10)
      setup.driver.confirm()
      await setup.clock.settle()
      setup.driver.confirm()
      emitAll(setup, 1, 'two')
      await setup.clock.settle()
      setup.driver.confirm()
      emitAll(setup, 20, 'one')
      await setup.clock.settle()
      expect(inFlight(setup, 'one')).toBe(9)
    })

    test('is shared by halves while others wait, whatever their priorities, and topics take turns', async () => {
      const setup = emitting({ capabilities: { window, maxBatch: 1 } })
      emitAll(setup, 20, 'one')
      emitAll(setup, 20, 'two')
      await setup.clock.settle()
      const topics = setup.driver.open.map(({ message }) => message.destination.topic)
      // One is kept for a destination that has nothing in flight yet.
      expect(topics).toEqual(['one', 'two', 'one', 'two', 'one', 'two', 'one', 'two', 'one'])

      const other = emitting({ capabilities: { window } })
      for (let index = 0; index < 20; index++) other.notifier.error('e', {}, { topics: ['errors'] })
      emitAll(other, 20, 'infos')
      await other.clock.settle()
      expect([inFlight(other, 'errors'), inFlight(other, 'infos')]).toEqual([5, 4])
    })

    test('is shared by halves in bytes as well', async () => {
      const setup = emitting({ capabilities: { window: { messages: 100, bytes: 10_000 } } })
      const { clock, driver, notifier } = setup
      for (let rounds = 0; rounds < 3; rounds++) {
        for (let index = 0; index < 10; index++) {
          notifier.error('e', { text: 'x'.repeat(1_000) }, { topics: ['large'] })
          notifier.info('i', { text: 'x'.repeat(1_000) }, { topics: ['other'] })
        }
        await clock.settle()
        expect([inFlight(setup, 'large'), inFlight(setup, 'other')]).toEqual([4, 4])
        while (driver.open.length > 0) {
          driver.confirm()
          await clock.settle()
        }
      }
    })

    test('is not kept free for a destination whose gate is shut', async () => {
      const setup = emitting({ capabilities: { window } })
      emitAll(setup, 5, 'away')
      await setup.clock.settle()
      setup.driver.fail(trouble('UNAVAILABLE', { scope: 'destination', retryAfterMs: 60_000 }))
      emitAll(setup, 20, 'there')
      await setup.clock.settle()
      expect(inFlight(setup, 'there')).toBe(9)
    })

    test('has room for the others while one destination is silent', async () => {
      const setup = emitting({ capabilities: { window } })
      emitAll(setup, 1, 'there')
      await setup.clock.settle()
      setup.driver.reply = ({ destination }) => (destination.topic === 'silent' ? 'hold' : 'confirm')
      setup.driver.confirm()
      emitAll(setup, 100, 'silent')
      await setup.clock.settle()
      emitAll(setup, 100, 'there')
      await setup.clock.settle()
      expect(setup.notifier.stats()).toMatchObject({ confirmed: 101, pending: 100 })
      expect(inFlight(setup, 'silent')).toBeGreaterThanOrEqual(5)
    })

    test('is filled to the last byte, and a message larger than it goes when nothing else is in flight', async () => {
      const one = emitting({ reply: 'confirm' })
      await one.notifier.info('a', {})
      const size = one.driver.handed[0]?.message.body.length ?? 0
      const { clock, driver, notifier } = emitting({
        capabilities: { window: { messages: 10, bytes: 3 * size } },
      })
      for (let index = 0; index < 4; index++) {
        notifier.info('a', {})
        await clock.settle()
      }
      notifier.info('b', { text: 'x'.repeat(4 * size) })
      notifier.info('c', {})
      await clock.settle()
      expect(driver.sent).toEqual(['a', 'a', 'a'])
      driver.confirm()
      await clock.settle()
      expect(driver.sent.slice(3)).toEqual(['a'])
      driver.confirm()
      await clock.settle()
      expect(driver.sent.slice(4)).toEqual(['b'])
      driver.confirm()
      await clock.settle()
      expect(driver.sent.slice(5)).toEqual(['c'])
    })
  })

  test('the highest priority goes first, whatever came first', async () => {
    const { clock, driver, notifier } = emitting({
      capabilities: { window: { messages: 2, bytes: 100_000 } },
    })
    notifier.info('first', {})
    await clock.settle()
    for (const method of METHODS) notifier[method](method, {})
    for (let rounds = 0; rounds < METHODS.length; rounds++) {
      await clock.settle()
      driver.confirm()
    }
    expect(driver.sent).toEqual(['first', ...METHODS.toReversed()])
  })
})

describe('a notifier', () => {
  test('gives methods that may be taken off it', async () => {
    const { notifier } = emitting({ reply: 'confirm' })
    const { info, stats, notify } = notifier
    await info('a', {})
    await notify('ERROR', 'a', {})
    expect(stats()).toMatchObject({ confirmed: 2 })
  })

  test('connects to nothing and sets no timer until something is emitted', async () => {
    const { clock, driver } = emitting()
    await clock.settle()
    expect([driver.calls.length, clock.timers]).toEqual([0, 0])
  })

  test('sets no timer while nothing is pending', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    expect(clock.timers).toBeGreaterThan(0)
    driver.confirm()
    await clock.settle()
    expect(clock.timers).toBe(0)
  })

  test('says what is enabled', () => {
    const { driver } = emitting()
    const when = [{ event_type: 'compute.*', priorities: ['ERROR'] }, { priorities: ['AUDIT'] }] as const
    const { notifier } = emitting({ notifier: { drivers: [{ driver, when }] } })
    expect(notifier.isEnabled()).toBe(true)
    expect(PRIORITIES.filter((priority) => notifier.isEnabled(priority))).toEqual(['AUDIT', 'ERROR'])
    expect(notifier.isEnabled('ERROR', 'compute.create')).toBe(true)
    expect(notifier.isEnabled('ERROR', 'storage.create')).toBe(false)
    expect(notifier.isEnabled('AUDIT', 'storage.create')).toBe(true)
  })

  test('is not enabled once it closes', async () => {
    const { notifier } = emitting()
    const closing = notifier.close()
    expect([notifier.isEnabled(), notifier.isEnabled('ERROR'), notifier.child({}).isEnabled()]).toEqual([
      false,
      false,
      false,
    ])
    await closing
  })
})

describe('a child', () => {
  test('speaks with its own voice over the same drivers, hooks and sums', async () => {
    const { clock, driver, failures, notifier } = emitting({
      reply: 'confirm',
      notifier: { headers: { a: '1', b: '1' }, topics: ['one'] },
    })
    const child = notifier.child({
      publisherId: 'child',
      headers: { b: '2', c: '2' },
      topics: ['two', 'three', 'two'],
    })
    const grandchild = child.child({ publisherId: 'grandchild' })
    await child.info('a', {})
    await grandchild.info('a', {})
    await notifier.info('a', {})
    grandchild.info('', {})
    await clock.settle()
    expect(
      driver.handed.map(({ message }) => [
        envelopeOf(message).publisher_id,
        message.destination.topic,
        message.headers,
      ]),
    ).toEqual([
      ['child', 'two', { a: '1', b: '2', c: '2' }],
      ['child', 'three', { a: '1', b: '2', c: '2' }],
      ['grandchild', 'two', { a: '1', b: '2', c: '2' }],
      ['grandchild', 'three', { a: '1', b: '2', c: '2' }],
      ['test', 'one', { a: '1', b: '1' }],
    ])
    expect(failures).toHaveLength(1)
    expect(child.stats()).toEqual(notifier.stats())
    expect(notifier.stats()).toMatchObject({
      emitted: 4,
      confirmed: 3,
      failed: 1,
      drivers: [{ emitted: 5, confirmed: 5 }],
    })
  })

  test('has no close, and is closed with its notifier', async () => {
    const { notifier } = emitting()
    const child = notifier.child({ publisherId: 'child' })
    expect('close' in child || Symbol.asyncDispose in child).toBe(false)
    await notifier.close()
    await expect(child.info('a', {})).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('has a timeout of its own', async () => {
    const { clock, failures, notifier } = emitting()
    notifier.child({ timeoutMs: 100 }).info('child', {})
    notifier.info('parent', {})
    await clock.advance(100)
    expect(failures).toMatchObject([{ code: 'DEADLINE' }])
    expect(notifier.stats()).toMatchObject({ failed: 1, pending: 1 })
  })
})

describe('stats', () => {
  const sums = (notifier: Notifier) => {
    const { drivers, ...rest } = notifier.stats()
    expect(rest.emitted).toBe(rest.confirmed + rest.failed + rest.shed + rest.filtered + rest.pending)
    for (const { emitted, confirmed, failed, shed, pending } of drivers)
      expect(emitted).toBe(confirmed + failed + shed + pending)
    return { ...rest, drivers }
  }

  test('count emits, and for each driver messages', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { topics: ['one', 'two'] } })
    notifier.info('a', {})
    expect(sums(notifier)).toEqual({
      emitted: 1,
      confirmed: 0,
      failed: 0,
      shed: 0,
      filtered: 0,
      pending: 1,
      drivers: [
        {
          driver: 'scripted',
          emitted: 2,
          confirmed: 0,
          failed: 0,
          shed: 0,
          pending: 2,
          inFlight: 0,
          late: 0,
        },
      ],
    })
    await clock.settle()
    expect(sums(notifier).drivers).toMatchObject([{ pending: 2, inFlight: 2 }])
    driver.open[0]?.settle()
    expect(sums(notifier)).toMatchObject({
      confirmed: 0,
      pending: 1,
      drivers: [{ confirmed: 1, pending: 1, inFlight: 1 }],
    })
    driver.confirm()
    expect(sums(notifier)).toMatchObject({
      confirmed: 1,
      pending: 0,
      drivers: [{ confirmed: 2, pending: 0, inFlight: 0 }],
    })
  })

  test('mixed ends count by the first failure, and the receipt tells all', async () => {
    const { clock, driver, notifier } = emitting({ notifier: { topics: ['one', 'two', 'three'] } })
    const emission = notifier.info('a', {})
    await clock.settle()
    const [one, two, three] = driver.open
    two?.settle(trouble('FORBIDDEN'))
    one?.settle()
    expect(sums(notifier)).toMatchObject({ failed: 0, pending: 1 })
    three?.settle(trouble('INVALID'))
    await expect(emission).rejects.toMatchObject({
      code: 'FORBIDDEN',
      receipt: {
        results: [
          { topic: 'one', status: 'confirmed' },
          { topic: 'two', status: 'failed' },
          { topic: 'three', failure: { code: 'INVALID' } },
        ],
      },
    })
    expect(sums(notifier)).toMatchObject({ failed: 1, pending: 0, drivers: [{ confirmed: 1, failed: 2 }] })
  })

  test('refused input is failed, and reaches no driver', () => {
    const { notifier } = emitting()
    notifier.info('', {}).catch(() => {})
    expect(sums(notifier)).toMatchObject({ emitted: 1, failed: 1, drivers: [{ emitted: 0 }] })
  })
})

describe('health', () => {
  test('asks each driver, with the time it has', async () => {
    const { clock, driver, notifier } = emitting()
    let given = 0
    driver.onHealth = async ({ timeoutMs }) => {
      given = timeoutMs
      return { ok: true, warnings: ['one replica'] }
    }
    const health = await notifier.health({ timeoutMs: 70 })
    expect(health).toEqual({
      ok: true,
      drivers: [{ driver: 'scripted', ok: true, warnings: ['one replica'] }],
    })
    expect([given, clock.timers]).toEqual([70, 0])
  })

  test('is not ok when a required driver is not, and says why', async () => {
    const well = scripted({ name: 'well' })
    const ill = scripted({ name: 'ill' })
    ill.onHealth = async () => ({ ok: false, warnings: [], failure: DOWN })
    const required = emitting({ notifier: { drivers: [{ driver: well }, { driver: ill }] } })
    expect(await required.notifier.health()).toMatchObject({
      ok: false,
      drivers: [{ ok: true }, { driver: 'ill', ok: false, failure: DOWN }],
    })
    const optional = emitting({ notifier: { drivers: [{ driver: well }, { driver: ill, required: false }] } })
    expect(await optional.notifier.health()).toMatchObject({
      ok: true,
      drivers: [{ ok: true }, { ok: false }],
    })
  })

  test('ends in time when a driver never answers, and its signal fires', async () => {
    const { clock, driver, notifier } = emitting()
    let signal: AbortSignal | undefined
    driver.onHealth = (options) => {
      signal = options.signal
      return new Promise(() => {})
    }
    const health = notifier.health({ timeoutMs: 1_000 })
    await clock.advance(1_000)
    expect(await health).toMatchObject({ ok: false, drivers: [{ ok: false, failure: { code: 'DEADLINE' } }] })
    expect(signal?.reason).toMatchObject({ code: 'DEADLINE' })
    expect(clock.timers).toBe(0)
  })

  test('answers also of a driver that discards', async () => {
    const driver = scripted({ name: 'nothing', capabilities: { discards: true } })
    const { notifier } = emitting({ notifier: { driver } })
    expect(await notifier.health()).toEqual({
      ok: true,
      drivers: [{ driver: 'nothing', ok: true, warnings: [] }],
    })
  })

  test('warns of a gate that is shut, a broker that is blocked, a buffer more than half full', async () => {
    const { clock, driver, notifier } = emitting({ reply: DOWN, notifier: { buffer: { messages: 4 } } })
    notifier.info('a', {})
    await clock.settle()
    const warnings = async () => (await notifier.health()).drivers[0]?.warnings
    expect(await warnings()).toEqual(['the broker takes no messages: UNAVAILABLE refused'])
    for (let index = 0; index < 3; index++) notifier.error('a', {})
    driver.status('blocked')
    expect(await warnings()).toMatchObject(
      [{}, expect.stringContaining('silence'), 'the buffer holds 4 of 4 messages'].map(() =>
        expect.any(String),
      ),
    )
    driver.reply = 'confirm'
    driver.status('up')
    await clock.settle()
    expect(await warnings()).toEqual([])
    driver.reply = trouble('UNROUTABLE', { scope: 'destination', message: 'No queue.' })
    notifier.info('a', {}).catch(() => {})
    await clock.settle()
    expect(await warnings()).toEqual(['notifications.info takes no messages: UNROUTABLE No queue.'])
  })
})
