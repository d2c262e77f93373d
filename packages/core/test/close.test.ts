import { spawn } from 'node:child_process'
import { describe, expect, test, vi } from 'vitest'
import { createNotifier, type NotifierStats } from '../src/index.ts'
import { FakeClock } from './support/clock.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, scripted, trouble } from './support/publisher.ts'

/** Resolves with what a promise has come to by now. */
async function now<T>(clock: FakeClock, promise: Promise<T>): Promise<T | 'pending'> {
  let value: T | 'pending' = 'pending'
  void promise.then((result) => {
    value = result
  })
  await clock.settle()
  return value
}

describe('flush', () => {
  test('resolves true when all that was emitted before has ended, however it ended', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    notifier.info('b', {}).catch(() => {})
    await clock.settle()
    const flush = notifier.flush()
    notifier.info('later', {})
    await clock.settle()
    driver.confirm('a')
    expect(await now(clock, flush)).toBe('pending')
    driver.fail(trouble('INVALID'), 'b')
    expect(await now(clock, flush)).toBe(true)
    expect(notifier.stats().pending).toBe(1)
  })

  test('resolves true at once where nothing is pending, also from a child', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('', {}).catch(() => {})
    expect(await now(clock, notifier.flush())).toBe(true)
    notifier.info('a', {})
    await clock.settle()
    const flush = notifier.child({}).flush()
    expect(await now(clock, flush)).toBe('pending')
    driver.confirm()
    expect(await now(clock, flush)).toBe(true)
  })

  test('resolves false when its time has passed, and leaves no timer', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    const flush = notifier.flush({ timeoutMs: 1_000 })
    await clock.advance(999)
    expect(await now(clock, flush)).toBe('pending')
    await clock.advance(1)
    expect(await now(clock, flush)).toBe(false)
    driver.confirm()
    expect(clock.timers).toBe(0)
  })

  test('of several each waits for its own', async () => {
    const { clock, driver, notifier } = emitting()
    const flushes: Promise<boolean>[] = []
    const done = async () =>
      (await Promise.all(flushes.map((flush) => now(clock, flush)))).map((end) => end === true)
    for (const name of ['a', 'b', 'c']) {
      notifier.info(name, {})
      flushes.push(notifier.flush())
    }
    await clock.settle()
    driver.confirm('b')
    expect(await done()).toEqual([false, false, false])
    driver.confirm('a')
    expect(await done()).toEqual([true, true, false])
    driver.confirm('c')
    expect(await done()).toEqual([true, true, true])
  })
})

describe('close', () => {
  test('takes no more emits, waits for what is pending, closes the driver, and reports sums that agree', async () => {
    const { clock, driver, notifier } = emitting({ reply: 'hold' })
    notifier.info('a', {})
    notifier.info('b', {}).catch(() => {})
    notifier.info('', {}).catch(() => {})
    const closing = notifier.close()
    await expect(notifier.info('c', {})).rejects.toMatchObject({
      code: 'CLOSED',
      maybeSent: false,
      receipt: { results: [] },
    })
    await clock.settle()
    expect(driver.sent).toEqual(['a', 'b'])
    driver.confirm('a')
    expect(await now(clock, closing)).toBe('pending')
    expect(driver.closes).toBe(0)
    driver.fail(trouble('FORBIDDEN'), 'b')
    const report = await closing
    expect(report).toEqual({
      emitted: 4,
      confirmed: 1,
      failed: 3,
      shed: 0,
      filtered: 0,
      pending: 0,
      drivers: [
        {
          driver: 'scripted',
          emitted: 2,
          confirmed: 1,
          failed: 1,
          shed: 0,
          pending: 0,
          inFlight: 0,
          late: 0,
        },
      ],
    })
    expect([driver.closes, driver.observers, clock.timers]).toEqual([1, 0, 0])
  })

  test('is one close, however often it is called', async () => {
    const { driver, notifier } = emitting({ reply: 'confirm' })
    const first = notifier.close()
    expect(notifier.close({ timeoutMs: 1 })).toBe(first)
    await first
    expect(notifier.close()).toBe(first)
    expect(driver.closes).toBe(1)
  })

  test('ends what is pending when its time has passed: CLOSED, and the driver is told', async () => {
    const { clock, driver, failures, notifier } = emitting()
    notifier.info('answered', {})
    notifier.info('silent', {})
    await clock.settle()
    driver.status('blocked')
    notifier.info('waiting', {})
    const [handed] = driver.open
    handed?.call.signal.addEventListener('abort', () =>
      handed.settle({ ...handed.call.signal.reason, maybeSent: false }),
    )
    const closing = notifier.close({ timeoutMs: 1_000 })
    await clock.advance(999)
    expect(notifier.stats().pending).toBe(3)
    await clock.advance(1)
    expect(handed?.call.signal.reason).toMatchObject({ code: 'CLOSED' })
    expect(notifier.stats().pending).toBe(1)
    await clock.advance(200)
    expect(await now(clock, closing)).toMatchObject({ emitted: 3, failed: 3, pending: 0 })
    expect(
      failures.map(({ code, reason, maybeSent, receipt }) => [
        code,
        reason,
        maybeSent,
        receipt?.results[0]?.attempts,
      ]),
    ).toEqual([
      ['CLOSED', 'close-timeout', false, 0],
      ['CLOSED', 'close-timeout', false, 1],
      ['CLOSED', 'close-timeout', true, 1],
    ])
    expect([driver.closes, clock.timers]).toEqual([1, 0])
  })

  test('has 200 ms more for what the driver still confirms, and for its own close', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    let given = 0
    driver.onClose = ({ timeoutMs, signal }) => {
      given = timeoutMs
      return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
    }
    const closing = notifier.close({ timeoutMs: 1_000 })
    await clock.advance(1_100)
    driver.confirm()
    expect(await now(clock, closing)).toBe('pending')
    await clock.advance(99)
    expect(await now(clock, closing)).toBe('pending')
    await clock.advance(1)
    expect(await now(clock, closing)).toMatchObject({ confirmed: 1, failed: 0 })
    expect([given, clock.timers]).toEqual([200, 0])
  })

  test('retries nothing in that time: what fails then ends as CLOSED', async () => {
    const { clock, driver, failures, notifier } = emitting()
    for (const name of ['a', 'b', 'c']) notifier.info(name, {})
    await clock.settle()
    const closing = notifier.close({ timeoutMs: 0 })
    await clock.advance(0)
    driver.fail(DOWN, 'a')
    driver.fail(trouble('THROTTLED'), 'b')
    driver.fail(trouble('FORBIDDEN'), 'c')
    expect(await now(clock, closing)).toMatchObject({ failed: 3, pending: 0 })
    expect(driver.calls).toHaveLength(1)
    expect(failures.map(({ code, maybeSent }) => [code, maybeSent])).toEqual([
      ['CLOSED', false],
      ['CLOSED', false],
      ['FORBIDDEN', false],
    ])
  })

  test('gives the driver all the time that is left', async () => {
    const { clock, driver, notifier } = emitting()
    notifier.info('a', {})
    await clock.settle()
    let given = 0
    driver.onClose = async ({ timeoutMs }) => {
      given = timeoutMs
    }
    const closing = notifier.close()
    await clock.advance(1_500)
    driver.confirm()
    await now(clock, closing)
    expect(given).toBe(5_000 - 1_500 + 200)
  })

  test('probes a shut gate until then', async () => {
    const { clock, driver, notifier } = emitting({ reply: DOWN })
    for (let index = 0; index < 10; index++) notifier.info('a', {})
    await clock.advance(10_000)
    const before = driver.calls.length
    const closing = notifier.close()
    await clock.advance(2_900)
    expect(driver.calls.length).toBeGreaterThan(before)
    driver.reply = 'confirm'
    await clock.advance(2_000)
    expect(await now(clock, closing)).toMatchObject({ confirmed: 10, pending: 0 })
  })

  test('hands nothing over afterwards, hears nothing, and counts what answers then as late', async () => {
    const { clock, driver, notifier, statuses } = emitting({
      reply: ({ key }) => (key === undefined ? 'hold' : trouble('THROTTLED')),
    })
    notifier.info('a', {})
    notifier.info('b', {}, { key: 'k' })
    const closing = notifier.close({ timeoutMs: 0 })
    await clock.advance(200)
    await closing
    const before = driver.calls.length
    const [report] = notifier.stats().drivers
    driver.status('blocked')
    driver.status('up')
    driver.confirm()
    await clock.advance(120_000)
    expect(driver.calls).toHaveLength(before)
    expect(statuses).toEqual([])
    expect(notifier.stats()).toMatchObject({
      confirmed: 0,
      failed: 2,
      pending: 0,
      drivers: [{ ...report, late: 1 }],
    })
    expect(clock.timers).toBe(0)
  })

  test('comes with await using, at the end of a block, a throw included', async () => {
    const driver = scripted({ reply: 'confirm' })
    const block = async () => {
      await using notifier = createNotifier({ publisherId: 'test', driver, clock: new FakeClock() })
      notifier.info('a', {})
      throw new Error('theirs')
    }
    await expect(block()).rejects.toThrow('theirs')
    expect(driver.sent).toEqual(['a'])
    expect(driver.closes).toBe(1)
  })

  test('of several drivers one that hangs keeps no other from being closed', async () => {
    const [good, bad] = [scripted(), scripted()]
    bad.onClose = () => new Promise(() => {})
    const { clock, notifier } = emitting({ notifier: { drivers: [{ driver: bad }, { driver: good }] } })
    const closing = notifier.close({ timeoutMs: 1_000 })
    await clock.settle()
    expect(good.closes).toBe(1)
    await clock.advance(1_200)
    expect(await now(clock, closing)).toMatchObject({ pending: 0 })
  })
})

describe('a driver that is shared', () => {
  const share = (create: typeof createNotifier, other: typeof createNotifier) => {
    const clock = new FakeClock()
    const driver = scripted()
    const options = { publisherId: 'test', driver, clock, onFailure: () => {}, onStatus: () => {} }
    return { clock, driver, first: create(options), second: other(options) }
  }

  test.each(['one copy', 'two copies'])(
    'by %s of the package is closed by whoever holds it last, and each close ends its own alone',
    async (copies) => {
      vi.resetModules()
      const copy = copies === 'one copy' ? createNotifier : (await import('../src/index.ts')).createNotifier
      expect(copy === createNotifier).toBe(copies === 'one copy')
      const { clock, driver, first, second } = share(createNotifier, copy)
      first.info('first', {})
      second.info('second', {})
      await clock.settle()
      expect(driver.observers).toBe(2)
      const closing = first.close({ timeoutMs: 100 })
      await clock.advance(300)
      expect(await closing).toMatchObject({ failed: 1, pending: 0 })
      expect(driver.calls.map(({ signal }) => signal.aborted)).toEqual([true, false])
      expect([driver.closes, driver.observers]).toEqual([0, 1])
      driver.reply = 'confirm'
      driver.confirm()
      await expect(second.info('again', {})).resolves.toBeDefined()
      await second.close()
      expect(driver.closes).toBe(1)
    },
  )

  test('by a notifier that comes after it was closed is closed again', async () => {
    const driver = scripted({ reply: 'confirm' })
    for (let rounds = 1; rounds <= 3; rounds++) {
      const { notifier } = emitting({ notifier: { driver } })
      await notifier.close()
      expect(driver.closes).toBe(rounds)
    }
  })
})

describe('a process', () => {
  /** Runs `support/process.ts`, which does what it is told, and says how it ended. */
  async function run(
    ...what: string[]
  ): Promise<{ code: number | null; signal: string | null; out: string; err: string }> {
    const script = new URL('support/process.ts', import.meta.url).pathname
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, ...what], {
      timeout: 20_000,
    })
    let [out, err] = ['', '']
    child.stdout.on('data', (chunk) => {
      out += chunk
    })
    child.stderr.on('data', (chunk) => {
      err += chunk
    })
    return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, out, err })))
  }

  test('that exits with work pending says so in one line, also with two copies of the package', async () => {
    const ends = await Promise.all([
      run('exit', '3'),
      run('exit', '1'),
      run('exit-copies', '2'),
      run('exit', '0'),
    ])
    expect(ends).toEqual([
      {
        code: 7,
        signal: null,
        out: '',
        err: 'notify: 3 notifications were still pending when the process exited; await notifier.close() before\n',
      },
      {
        code: 7,
        signal: null,
        out: '',
        err: 'notify: 1 notification was still pending when the process exited; await notifier.close() before\n',
      },
      {
        code: 7,
        signal: null,
        out: '',
        err: 'notify: 4 notifications were still pending when the process exited; await notifier.close() before\n',
      },
      { code: 7, signal: null, out: '', err: '' },
    ])
  })

  test('ends by itself after close, with nothing left behind and no word', async () => {
    const { out, ...end } = await run('close', '50')
    expect(end).toEqual({ code: 0, signal: null, err: '' })
    const { before, after, report } = JSON.parse(out) as {
      before: string[]
      after: string[]
      report: NotifierStats
    }
    expect(after).toEqual(before)
    expect(report).toMatchObject({ emitted: 150, confirmed: 150, pending: 0 })
  })

  test('ends by itself also where nobody closes, once nothing is pending', async () => {
    expect(await run('idle')).toEqual({ code: 0, signal: null, out: '', err: '' })
  })
})
