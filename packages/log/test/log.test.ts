import { spawn } from 'node:child_process'
import { createNotifier, type Failure, PRIORITIES } from '@notify/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { type LogStream, log } from '../src/index.ts'
import { CALL, message, publish, turns, Valve } from './support.ts'

afterEach(() => {
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

const quiet = () => ({ debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error: vi.fn() })
const ABORTED: Failure = { code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' }

describe('a driver that logs', () => {
  test('has frozen capabilities, does not consume, and touches nothing before the first line', async () => {
    const stdout = vi.spyOn(process, 'stdout', 'get')
    const driver = log()
    expect(driver.capabilities).toEqual(log({ format: 'json' }).capabilities)
    expect(driver.capabilities).toMatchObject({ confirms: 'process', discards: false })
    expect([Object.isFrozen(driver.capabilities), Object.isFrozen(driver.capabilities.window)]).toEqual([
      true,
      true,
    ])
    expect(driver.subscribe).toBeUndefined()
    expect(stdout).not.toHaveBeenCalled()
  })

  test('writes to stdout by default', async () => {
    const stream = new Valve()
    vi.spyOn(process, 'stdout', 'get').mockReturnValue(stream as never)
    expect(await publish(log(), [message()])).toEqual(['confirmed'])
    expect(stream.lines.length).toBe(1)
  })

  test('one line per message, in order, to the method that its priority says', async () => {
    const logger = quiet()
    const driver = log({ logger })
    for (const priority of PRIORITIES)
      await publish(driver, [message({ n: 1 }, { priority }), message({ n: 2 }, { priority })])
    const calls = Object.entries(logger).map(([level, { mock }]) => [
      level,
      mock.calls.map(([line, ...more]) => [String(line).split(/\s+/)[1], more.length]),
    ])
    const twice = (...priorities: string[]) =>
      priorities.flatMap((priority) => [
        [priority, 0],
        [priority, 0],
      ])
    expect(Object.fromEntries(calls)).toEqual({
      debug: twice('DEBUG', 'SAMPLE'),
      info: twice('INFO', 'AUDIT'),
      warn: twice('WARN'),
      error: twice('ERROR', 'CRITICAL'),
    })
  })

  test('levels can be moved', async () => {
    const logger = quiet()
    const driver = log({ logger, levels: { AUDIT: 'warn' }, format: 'json' })
    await publish(driver, [message({}, { priority: 'AUDIT' })])
    expect(JSON.parse(logger.warn.mock.calls[0]?.[0]).level).toBe('warn')
  })

  test('refuses what no transport takes, each message for itself', async () => {
    const stream = new Valve()
    const limit = log().capabilities.maxMessageBytes
    const outcomes = await publish(log({ stream }), [
      message(),
      message({}, { headers: { 'no space': '' } }),
      message({}, { headers: { name: '\u0000' } }),
      message({}, { headers: { name: '\ud800' } }),
      message({}, { headers: JSON.parse('{"__proto__":""}') }),
      message({}, { body: new Uint8Array(limit), key: 'k' }),
      message({}, { body: null as never }),
      message(),
    ])
    expect(outcomes.map((outcome) => (outcome === 'confirmed' ? outcome : outcome.code))).toEqual(
      'confirmed INVALID INVALID INVALID INVALID TOO_LARGE UNKNOWN confirmed'.split(' '),
    )
    expect(stream.lines.length).toBe(2)
  })

  test('refuses bad options, and says which', () => {
    const logger = quiet()
    const stream = new Valve()
    const bad = [
      { colours: true },
      JSON.parse('{"__proto__": 1}'),
      { logger, stream },
      { logger: { ...logger, warn: undefined } },
      { stream: {} },
      { format: 'xml' },
      { levels: { LOUD: 'info' } },
      { levels: { INFO: 'trace' } },
      { mask: [''] },
      { maxLineLength: 10 },
      { maxLineLength: Number.NaN },
    ]
    for (const options of bad) {
      expect(() => log(options)).toThrow(expect.objectContaining({ code: 'INVALID', reason: 'option' }))
    }
  })
})

describe('colours', () => {
  const colored = async (options: { isTTY?: boolean; colors?: boolean; format?: 'json' } = {}) => {
    const { isTTY = false, ...rest } = options
    const stream = new Valve()
    stream.isTTY = isTTY
    await publish(log({ stream, ...rest }), [message({ text: '\u001b[31m' }, { priority: 'ERROR' })])
    const line = stream.lines[0] as string
    expect(line).toContain('"text":"\\u001b[31m"')
    return line.includes('\u001b[31mERROR   \u001b[0m')
  }

  test('on a terminal, and nowhere else', async () => {
    for (const name of ['FORCE_COLOR', 'NO_COLOR', 'TERM']) vi.stubEnv(name, undefined)
    expect([await colored({ isTTY: true }), await colored()]).toEqual([true, false])
    vi.stubEnv('TERM', 'dumb')
    expect(await colored({ isTTY: true })).toBe(false)
  })

  test('never in JSON', async () => {
    vi.stubEnv('FORCE_COLOR', '1')
    const stream = new Valve()
    await publish(log({ stream, format: 'json', colors: true }), [message()])
    expect(stream.lines[0]).not.toContain('\u001b')
  })

  test.each([
    { NO_COLOR: '1', FORCE_COLOR: undefined, terminal: false, pipe: false },
    { NO_COLOR: '', FORCE_COLOR: undefined, terminal: true, pipe: false },
    { NO_COLOR: undefined, FORCE_COLOR: '1', terminal: true, pipe: true },
    { NO_COLOR: '1', FORCE_COLOR: '', terminal: true, pipe: true },
    { NO_COLOR: undefined, FORCE_COLOR: '0', terminal: false, pipe: false },
  ])('as the environment says: %o', async ({ NO_COLOR, FORCE_COLOR, terminal, pipe }) => {
    vi.stubEnv('TERM', undefined)
    vi.stubEnv('NO_COLOR', NO_COLOR)
    vi.stubEnv('FORCE_COLOR', FORCE_COLOR)
    expect([await colored({ isTTY: true }), await colored()]).toEqual([terminal, pipe])
    // An option outweighs it.
    expect([await colored({ isTTY: true, colors: false }), await colored({ colors: true })]).toEqual([
      false,
      true,
    ])
  })
})

describe('settling', () => {
  test('only when the stream has taken the line', async () => {
    const stream = new Valve(false)
    let settled = false
    const outcomes = publish(log({ stream }), [message(), message()]).finally(() => {
      settled = true
    })
    await turns()
    expect([settled, stream.taken.length]).toEqual([false, 1])
    stream.open()
    expect(await outcomes).toEqual(['confirmed', 'confirmed'])
    expect(stream.taken.length).toBe(2)
  })

  test('never from within publish, however quick the stream or the logger', async () => {
    const eager: LogStream = { write: (_, callback) => callback(), on() {}, off() {} }
    for (const driver of [log({ stream: eager }), log({ logger: quiet() })]) {
      let inside = true
      const settled = new Promise<boolean>((resolve) => {
        void driver.publish([message()], () => resolve(inside), CALL)
      })
      inside = false
      expect(await settled).toBe(false)
    }
  })

  test('a stream that fails: UNAVAILABLE with its error, never a crash, then and afterwards', async () => {
    const stream = new Valve(false)
    const driver = log({ stream })
    const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
    const outcomes = publish(driver, [message(), message()])
    stream.open(broken)
    expect(await outcomes).toMatchObject([
      {
        code: 'UNAVAILABLE',
        reason: 'stream-failed',
        retryable: true,
        maybeSent: true,
        scope: 'transport',
        cause: broken,
      },
      { code: 'UNAVAILABLE' },
    ])
    await turns()
    expect(await publish(driver, [message()])).toMatchObject([
      { code: 'UNAVAILABLE', reason: 'stream-ended', retryable: true, maybeSent: false },
    ])
    expect(await driver.health(CALL)).toMatchObject({ ok: false, failure: { code: 'UNAVAILABLE' } })
    await driver.close(CALL)
  })

  test('a stream that was ended or destroyed: UNAVAILABLE', async () => {
    const ended = new Valve()
    ended.end()
    const destroyed = new Valve()
    destroyed.destroy()
    for (const stream of [ended, destroyed]) {
      expect(await publish(log({ stream }), [message()])).toMatchObject([
        { code: 'UNAVAILABLE', maybeSent: false },
      ])
    }
    await turns()
  })

  test('a stream or logger that throws, or a promise that rejects: a failure', async () => {
    const cause = new Error('mine')
    const stream: LogStream = {
      write() {
        throw cause
      },
      on() {},
      off() {},
    }
    expect(await publish(log({ stream }), [message()])).toMatchObject([{ code: 'UNAVAILABLE', cause }])
    const throwing = {
      ...quiet(),
      info: () => {
        throw cause
      },
    }
    expect(await publish(log({ logger: throwing }), [message()])).toMatchObject([
      { code: 'UNKNOWN', reason: 'logger-threw', retryable: false, maybeSent: true, cause },
    ])
    const rejecting = { ...quiet(), info: () => Promise.reject(cause) }
    expect(await publish(log({ logger: rejecting }), [message()])).toMatchObject([{ code: 'UNKNOWN', cause }])
  })

  test('a logger that returns a promise is waited for', async () => {
    let taken = () => {}
    const slow = {
      ...quiet(),
      info: () =>
        new Promise<void>((resolve) => {
          taken = resolve
        }),
    }
    let settled = false
    const outcomes = publish(log({ logger: slow }), [message()]).finally(() => {
      settled = true
    })
    await turns()
    expect(settled).toBe(false)
    taken()
    expect(await outcomes).toEqual(['confirmed'])
  })

  test('a signal that has fired: settled with its reason, nothing written', async () => {
    const stream = new Valve()
    const reason = { ...ABORTED, maybeSent: true }
    expect(await publish(log({ stream }), [message()], AbortSignal.abort(reason))).toEqual([ABORTED])
    expect(stream.taken).toEqual([])
  })

  test('a signal that fires in flight: settled with its reason and maybeSent, once', async () => {
    const stream = new Valve(false)
    const controller = new AbortController()
    const outcomes = publish(log({ stream }), [message(), message()], controller.signal)
    controller.abort(ABORTED)
    expect(await outcomes).toEqual([
      { ...ABORTED, maybeSent: true },
      { ...ABORTED, maybeSent: true },
    ])
    stream.open()
    await turns()
  })

  test('no listener is left on a signal that many calls shared, and none warns', async () => {
    const { signal } = new AbortController()
    const add = vi.spyOn(signal, 'addEventListener')
    const remove = vi.spyOn(signal, 'removeEventListener')
    const warnings = vi.spyOn(process, 'emitWarning')
    const stream = new Valve(false)
    const driver = log({ stream })
    const all = Array.from({ length: 200 }, () => publish(driver, [message()], signal))
    stream.open()
    await Promise.all(all)
    expect(add.mock.calls.length).toBe(200)
    expect(remove.mock.calls.length).toBe(200)
    expect(warnings).not.toHaveBeenCalled()
  })
})

describe('closing', () => {
  test('waits for what is in flight, takes its listener off, and leaves the stream open', async () => {
    const stream = new Valve(false)
    const driver = log({ stream })
    const outcomes = publish(driver, [message()])
    let ended = false
    const closed = Promise.all([driver.close(CALL), driver.close(CALL)]).then(() => {
      ended = true
    })
    await turns()
    expect([ended, stream.listenerCount('error')]).toEqual([false, 1])
    stream.open()
    expect(await outcomes).toEqual(['confirmed'])
    await closed
    expect([stream.listenerCount('error'), stream.destroyed, stream.writableEnded]).toEqual([0, false, false])
    expect(await publish(driver, [message()])).toMatchObject([{ code: 'CLOSED', maybeSent: false }])
    expect(await driver.health(CALL)).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })
    expect(stream.taken.length).toBe(1)
  })

  test('gives up when its signal fires: CLOSED, maybeSent; an error that comes later still crashes nothing', async () => {
    const reason: Failure = { ...ABORTED, code: 'CLOSED' }
    for (const already of [true, false]) {
      const stream = new Valve(false)
      const driver = log({ stream })
      const outcomes = publish(driver, [message()])
      const controller = new AbortController()
      if (already) controller.abort(reason)
      const closed = driver.close({ timeoutMs: 0, signal: controller.signal })
      controller.abort(reason)
      await closed
      expect(await outcomes).toEqual([{ ...reason, maybeSent: true }])
      stream.open(new Error('too late'))
      await turns()
      expect(stream.listenerCount('error')).toBe(0)
    }
  })

  test('a stream that answers twice does not make it forget another line', async () => {
    const answers: (() => void)[] = []
    const off = vi.fn()
    const stream: LogStream = { write: (_, answer) => answers.push(answer), on() {}, off }
    const driver = log({ stream })
    const outcomes = publish(driver, [message(), message()])
    for (let time = 0; time < 2; time++) answers[0]?.()
    await turns()
    expect(
      (await Promise.all([outcomes, driver.close({ ...CALL, signal: AbortSignal.abort(ABORTED) })]))[0],
    ).toEqual(['confirmed', { ...ABORTED, maybeSent: true }])
    expect(off).not.toHaveBeenCalled()
    answers[1]?.()
    expect(off).toHaveBeenCalledOnce()
  })

  test('without a line there was no listener to take off', async () => {
    const stream = new Valve()
    const driver = log({ stream })
    expect(await driver.health(CALL)).toEqual({ ok: true, warnings: [] })
    await driver.close(CALL)
    expect(stream.listenerCount('error')).toBe(0)
  })
})

test('a reader of stdout that goes away is a failure, and the process lives and ends by itself', async () => {
  const index = new URL('../src/index.ts', import.meta.url).href
  const script = `
    import { log } from ${JSON.stringify(index)}
    const driver = log()
    const call = { timeoutMs: 1_000, signal: new AbortController().signal }
    const destination = { topic: 'a', priority: 'INFO', name: 'a.info' }
    const one = () => ({ id: '1', dedupId: '1', destination, body: Buffer.alloc(50_000, 'x'), headers: {}, contentType: 'x' })
    const emit = () => new Promise((resolve) => driver.publish([one()], (_, failure) => resolve(failure), call))
    let failure
    while (failure === undefined) failure = await emit()
    await driver.close(call)
    process.stderr.write(JSON.stringify([failure.code, failure.cause.code]))
  `
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let told = ''
  child.stderr.on('data', (text) => {
    told += text
  })
  child.stdout.once('data', () => child.stdout.destroy())
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect([code, told]).toEqual([0, '["UNAVAILABLE","EPIPE"]'])
})

test('a notifier logs what it emits', async () => {
  const stream = new Valve()
  const notifier = createNotifier({ publisherId: 'compute.host1', driver: log({ stream, format: 'json' }) })
  await notifier.warn(
    'compute.create_instance',
    { instance_id: 12, admin_pass: 'x' },
    { key: '12', headers: { cookie: 'c' } },
  )
  notifier.info('left.floating', {})
  expect(await notifier.close()).toMatchObject({ emitted: 2, confirmed: 2 })
  expect(stream.lines.map((line) => JSON.parse(line))).toMatchObject([
    {
      level: 'warn',
      event_type: 'compute.create_instance',
      publisher_id: 'compute.host1',
      key: '12',
      headers: { cookie: '***' },
      payload: { instance_id: 12, admin_pass: '***' },
    },
    { level: 'info', event_type: 'left.floating' },
  ])
})
