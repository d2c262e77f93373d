import { type Envelope, isNotifyError } from '@notify/core'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { memory } from '../src/index.ts'
import { acknowledging, CALL, destination, message, publish, subscribe, turns } from './support.ts'

function notification(event_type: string, payload: object = {}, topic = 'notifications') {
  const body = new TextEncoder().encode(JSON.stringify({ message_id: event_type, event_type, payload }))
  return message({ body, destination: destination(topic) })
}
const types = (found: Envelope[]) => found.map(({ event_type }) => event_type)
const problem = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error: unknown) => (isNotifyError(error) ? error : Promise.reject(error)),
  )

afterEach(() => {
  vi.useRealTimers()
})

describe('sent', () => {
  test('gives what the broker took, decoded, the oldest first: all of it, by event type or by predicate', async () => {
    const driver = memory()
    await publish(driver, [notification('a', { n: 1 }), notification('b'), notification('a', { n: 2 })])
    expect(types(driver.sent())).toEqual(['a', 'b', 'a'])
    expect(driver.sent('a').map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }])
    expect(driver.sent('A')).toEqual([])
    expect(types(driver.sent(({ payload }) => 'n' in payload))).toEqual(['a', 'a'])
  })

  test('sees an emit at once, before it is confirmed', () => {
    const driver = memory()
    void publish(driver, [notification('a')])
    expect(types(driver.sent())).toEqual(['a'])
  })

  test('leaves out what was refused, duplicates, and dead letters that nobody asked for', async () => {
    const driver = memory()
    driver.fail('UNAVAILABLE')
    const one = notification('kept')
    await publish(driver, [notification('refused'), one, { ...one }])
    await publish(driver, [notification('dead', {}, 'notifications.dead')])
    expect(types(driver.sent())).toEqual(['kept'])
    expect(types(driver.sent((_, { topic }) => topic === 'notifications.dead'))).toEqual(['dead'])
  })

  test('hands out copies', async () => {
    const driver = memory()
    await publish(driver, [notification('a', { n: 1 })])
    ;(driver.sent()[0]?.payload as { n: number }).n = 2
    expect(driver.sent()[0]?.payload).toEqual({ n: 1 })
  })

  test('is bounded: by count, by bytes, to nothing', { tags: ['slow'] }, async () => {
    const few = memory({ record: 2 })
    const none = memory({ record: 0 })
    for (const driver of [few, none])
      await publish(
        driver,
        ['a', 'b', 'c'].map((type) => notification(type)),
      )
    expect([types(few.sent()), types(none.sent())]).toEqual([['b', 'c'], []])
    const large = memory({ deduplication: false, history: 0 })
    await subscribe(large, { onDelivery: acknowledging })
    for (const type of ['a', 'b', 'c'])
      await publish(large, [notification(type, { filler: ' '.repeat(30 * 2 ** 20) })])
    expect(types(large.sent())).toEqual(['b', 'c'])
  })

  test('throws CORRUPT for bytes that its codecs do not understand', async () => {
    const driver = memory()
    await publish(driver, [message({ body: new Uint8Array([255]) })])
    expect(() => driver.sent()).toThrow(expect.objectContaining({ code: 'CORRUPT' }))
    expect((await problem(driver.waitFor('a')))?.code).toBe('CORRUPT')
  })

  test('leaves out dead letters that nobody understands: it may be what they died of', async () => {
    const driver = memory()
    const dead = destination('notifications.dead')
    await publish(driver, [
      message({ body: new Uint8Array([255]), destination: dead }),
      notification('a', {}, dead.topic),
    ])
    expect(types(driver.sent(() => true))).toEqual(['a'])
  })
})

describe('waitFor', () => {
  test('resolves with what is there already, and with what comes', async () => {
    const driver = memory()
    const coming = driver.waitFor('b')
    await publish(driver, [notification('a'), notification('b', { n: 1 })])
    expect((await driver.waitFor('a')).event_type).toBe('a')
    expect((await coming).payload).toEqual({ n: 1 })
  })

  test('also where nothing is recorded', async () => {
    const driver = memory({ record: 0 })
    const coming = driver.waitFor(({ event_type }) => event_type === 'a')
    await publish(driver, [notification('a')])
    expect((await coming).event_type).toBe('a')
  })

  test('rejects with DEADLINE, and says what was emitted instead', async () => {
    const driver = memory()
    await publish(driver, [notification('order.placed')])
    const error = await problem(driver.waitFor('order.payed', { timeoutMs: 5 }))
    expect(error?.code).toBe('DEADLINE')
    expect(error?.message).toContain('order.placed')
  })

  test('looks no more once it is over', async () => {
    const driver = memory()
    const predicate = vi.fn(() => false)
    expect((await problem(driver.waitFor(predicate, { timeoutMs: 1 })))?.code).toBe('DEADLINE')
    await publish(driver, [notification('a')])
    expect(predicate).not.toHaveBeenCalled()
  })

  test('a predicate that throws fails its own wait and no publish', async () => {
    const driver = memory()
    const waiting = driver.waitFor(() => {
      throw new Error('mine')
    })
    const outcomes = publish(driver, [notification('a')])
    await expect(waiting).rejects.toThrow('mine')
    expect(await outcomes).toEqual(['confirmed'])
  })

  test('ends with the driver, and leaves no timer', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const waits = [problem(driver.waitFor('a')), problem(driver.idle())]
    driver.stall()
    void publish(driver, [notification('b')])
    expect(vi.getTimerCount()).toBe(2)
    await driver.close(CALL)
    expect((await Promise.all(waits)).map((error) => error?.code)).toEqual(['CLOSED', 'CLOSED'])
    expect(await problem(driver.waitFor('c'))).toMatchObject({ code: 'CLOSED' })
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('idle', () => {
  test('waits until everything that has a consumer is handled, with what handlers emit', async () => {
    const driver = memory()
    await subscribe(driver, {
      onDelivery: async (delivery) => {
        await turns()
        // The last act of a handler: a publish of its own, a few steps away.
        void Promise.resolve().then(() => publish(driver, [notification('second', {}, 'other')]))
        await delivery.ack()
      },
    })
    const second = await subscribe(driver, {
      destination: destination('other'),
      onDelivery: (d) => void turns().then(d.ack),
    })
    void publish(driver, [notification('first')])
    await driver.idle()
    expect(second.texts.length).toBe(1)
    expect(driver.native().count(destination('other').name)).toBe(0)
  })

  test('does not wait for what was refused', async () => {
    const driver = memory()
    driver.disconnect()
    await publish(driver, [notification('a')])
    await driver.idle()
  })

  test('does not wait for queues that nobody consumes', async () => {
    const driver = memory()
    await publish(driver, [notification('a')])
    await driver.idle()
  })

  test('rejects with DEADLINE, and says what is busy', async () => {
    const driver = memory()
    await subscribe(driver, { group: 'slow' })
    await publish(driver, [notification('a')])
    driver.block()
    void publish(driver, [notification('b')])
    const error = await problem(driver.idle({ timeoutMs: 5 }))
    expect(error?.code).toBe('DEADLINE')
    expect(error?.message).toContain('publish (1), notifications.info@slow (1)')
  })

  test('resolves when the last consumer goes away', async () => {
    const driver = memory()
    const inbox = await subscribe(driver)
    await publish(driver, [notification('a')])
    const idle = driver.idle()
    await inbox.reaches(1)
    await inbox.close(CALL)
    await idle
  })
})

describe('faults', () => {
  test('fail: the next message, as the code usually looks', async () => {
    const driver = memory()
    driver.fail('UNAVAILABLE')
    expect(await publish(driver, [notification('a'), notification('b')])).toMatchObject([
      { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' },
      'confirmed',
    ])
    driver.fail('FORBIDDEN')
    expect(await publish(driver, [notification('c')])).toMatchObject([
      { code: 'FORBIDDEN', retryable: false, scope: 'transport' },
    ])
  })

  test('fail: so many, those that were meant, as was said, until it is taken back', async () => {
    const driver = memory()
    const stop = driver.fail('THROTTLED', {
      times: Number.POSITIVE_INFINITY,
      when: ({ destination: { topic } }) => topic === 'audit',
      retryAfterMs: 5,
      scope: 'message',
    })
    driver.fail('INVALID', { times: 2 })
    const batch = [notification('a', {}, 'audit')]
    expect(await publish(driver, batch)).toMatchObject([
      { code: 'THROTTLED', retryAfterMs: 5, scope: 'message', retryable: true },
    ])
    expect(
      await publish(
        driver,
        ['b', 'c', 'd'].map((type) => notification(type)),
      ),
    ).toMatchObject([{ code: 'INVALID' }, { code: 'INVALID' }, 'confirmed'])
    stop()
    expect(await publish(driver, [notification('a', {}, 'audit')])).toEqual(['confirmed'])
  })

  test('fail: an answer that gets lost; the retry is a duplicate that the broker drops', async () => {
    const driver = memory()
    driver.fail('UNAVAILABLE', { maybeSent: true, stored: true })
    const one = notification('a')
    expect(await publish(driver, [one])).toMatchObject([{ code: 'UNAVAILABLE', maybeSent: true }])
    expect(driver.native().count(destination().name)).toBe(1)
    expect(await publish(driver, [{ ...one }])).toEqual(['confirmed'])
    expect(types(driver.sent())).toEqual(['a'])
    expect(driver.native().count(destination().name)).toBe(1)
  })
})

describe('under fake timers', () => {
  test('publishing, delivering and settling need no timer', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const inbox = await subscribe(driver, { prefetch: 3, onDelivery: acknowledging })
    // More than one turn's worth.
    const batch = Array.from({ length: 1_000 }, (_, index) => notification(`event-${index}`))
    expect(new Set(await publish(driver, batch))).toEqual(new Set(['confirmed']))
    await driver.idle()
    expect(inbox.texts.length).toBe(1_000)
    await driver.close(CALL)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a delay passes when its time is driven, and not before', async () => {
    for (const toFake of [undefined, ['setTimeout', 'clearTimeout'] as const]) {
      vi.useFakeTimers(toFake === undefined ? undefined : { toFake: [...toFake] })
      const driver = memory()
      const inbox = await subscribe(driver)
      await publish(driver, [notification('a'), notification('b'), notification('c')])
      await inbox.reaches(3)
      await inbox.deliveries[0]?.requeue({ delayMs: 60_000 })
      await inbox.deliveries[1]?.requeue({ delayMs: 1_000 })
      await inbox.deliveries[2]?.requeue({ delayMs: 90_000 })
      const came: string[] = []
      for (const ms of [999, 1, 58_999, 1, 29_999, 1]) {
        await vi.advanceTimersByTimeAsync(ms)
        came.push(
          inbox.texts
            .slice(3)
            .map((text) => JSON.parse(text).event_type)
            .join(''),
        )
      }
      expect(came).toEqual(['', 'b', 'b', 'ba', 'ba', 'bac'])
      await driver.close(CALL)
      vi.useRealTimers()
    }
  })

  test('a host timer that fires a fraction early does not make a delay shorter', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const inbox = await subscribe(driver)
    await publish(driver, [notification('a')])
    await inbox.reaches(1)
    await inbox.deliveries[0]?.requeue({ delayMs: 1_000 })
    const now = performance.now.bind(performance)
    vi.spyOn(performance, 'now').mockImplementation(() => now() - 0.5)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(inbox.texts.length).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(inbox.texts.length).toBe(2)
    vi.restoreAllMocks()
  })

  test('a delayed message leaves no timer when its consumer has gone, and is due when time says so', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const inbox = await subscribe(driver)
    await publish(driver, [notification('a')])
    await inbox.reaches(1)
    await inbox.deliveries[0]?.requeue({ delayMs: 1_000 })
    expect(vi.getTimerCount()).toBe(1)
    await inbox.close(CALL)
    expect(vi.getTimerCount()).toBe(0)
    await vi.advanceTimersByTimeAsync(400)
    const next = await subscribe(driver)
    await vi.advanceTimersByTimeAsync(599)
    expect(next.texts.length).toBe(0)
    await vi.advanceTimersByTimeAsync(1)
    expect(next.texts.length).toBe(1)
  })

  test('the deduplication window passes as time is driven', async () => {
    vi.useFakeTimers()
    const driver = memory()
    const one = notification('a')
    const stored = async () => {
      await publish(driver, [{ ...one }])
      return driver.native().count(destination().name)
    }
    expect(await stored()).toBe(1)
    vi.advanceTimersByTime(119_999)
    expect(await stored()).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await stored()).toBe(2)
    vi.advanceTimersByTime(500_000)
    expect(await stored()).toBe(3)
    // Just before the broker forgets in bulk, and just after.
    vi.advanceTimersByTime(119_000)
    const late = notification('late')
    await publish(driver, [late])
    vi.advanceTimersByTime(2_000)
    await publish(driver, [notification('other'), { ...late }])
    expect(driver.native().count(destination().name)).toBe(5)
  })

  test('waitFor times out when its time is driven', async () => {
    vi.useFakeTimers()
    const waiting = problem(memory().waitFor('a'))
    await vi.advanceTimersByTimeAsync(2_000)
    expect((await waiting)?.code).toBe('DEADLINE')
  })
})

test('the process ends by itself, with delays pending and everything open', async () => {
  const { spawnSync } = await import('node:child_process')
  const index = new URL('../src/index.ts', import.meta.url).href
  const script = `
    import { memory } from ${JSON.stringify(index)}
    const driver = memory()
    const call = { timeoutMs: 1_000, signal: new AbortController().signal }
    const to = { topic: 'a', priority: 'INFO', name: 'a.info' }
    let again
    const requeued = new Promise((resolve) => { again = resolve })
    await driver.subscribe({ destination: to }, (d) => d.requeue({ delayMs: 3_600_000 }).then(again), { ...call, prefetch: 1 })
    driver.publish([{ id: '1', dedupId: '1', destination: to, body: Buffer.from('{"event_type":"a"}'), headers: {}, contentType: 'x' }], () => {}, call)
    driver.waitFor('never', { timeoutMs: 3_600_000 }).catch(() => console.log('ended'))
    await requeued
    await driver.close(call)
  `
  const child = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    timeout: 20_000,
    encoding: 'utf8',
  })
  expect([child.stderr, child.status, child.stdout]).toEqual(['', 0, 'ended\n'])
})
