import type { Delivery, OutboundMessage } from '@notify/core'
import { describe, expect, test, vi } from 'vitest'
import { memory, memoryBroker } from '../src/index.ts'
import {
  acknowledging,
  CALL,
  code,
  destination,
  message,
  publish,
  publishBodies,
  range,
  subscribe,
  turns,
} from './support.ts'

const INFO = destination().name

describe('publishing', () => {
  test('delivers what was confirmed: body, headers, content type and key as they were', async () => {
    const driver = memory()
    const body = Uint8Array.from({ length: 256 }, (_, index) => index)
    const headers = {
      Accept: '',
      'x-Emoji': '🦆"../',
      constructor: 'a',
      toString: 'b',
      prototype: 'c',
      CC: 'x',
    }
    expect(
      await publish(driver, [
        message({ body, headers, contentType: 'text/x', key: 'k/*#>\n' }),
        message({ body: new Uint8Array() }),
      ]),
    ).toEqual(['confirmed', 'confirmed'])
    const inbox = await subscribe(driver)
    await inbox.reaches(2)
    const [first, empty] = inbox.deliveries
    expect(first).toMatchObject({
      contentType: 'text/x',
      key: 'k/*#>\n',
      deliveries: 1,
      destination: destination(),
    })
    expect(first?.body).toEqual(body)
    expect(first?.headers).toEqual(headers)
    expect(empty?.body.length).toBe(0)
    expect('key' in (empty as Delivery)).toBe(false)
  })

  test('shares bytes with nobody: not with the sender, not between groups, not between deliveries', async () => {
    const driver = memory()
    const one = await subscribe(driver)
    const two = await subscribe(driver, { group: 'two' })
    const sent = message({ body: new TextEncoder().encode('original'), headers: { name: 'value' } })
    Object.freeze(sent)
    await publish(driver, Object.freeze([sent]) as never)
    sent.body.fill(0)
    ;(sent.headers as Record<string, string>).name = 'changed'
    await one.reaches(1)
    one.deliveries[0]?.body.fill(1)
    ;(one.deliveries[0]?.headers as Record<string, string>).name = 'changed'
    await one.deliveries[0]?.requeue()
    await Promise.all([one.reaches(2), two.reaches(1)])
    for (const delivery of [one.deliveries[1], two.deliveries[0]]) {
      expect(new TextDecoder().decode(delivery?.body)).toBe('original')
      expect(delivery?.headers).toEqual({ name: 'value' })
    }
    expect(new TextDecoder().decode(driver.native().messages(INFO)[0]?.body)).toBe('original')
  })

  test('never settles from within publish', async () => {
    const driver = memory()
    let inside = true
    const settled = new Promise<boolean>((resolve) => {
      void driver.publish([message()], () => resolve(inside), CALL)
    })
    inside = false
    expect(await settled).toBe(false)
  })

  test('1,000 concurrent calls all arrive, each once, in order', async () => {
    const driver = memory()
    await Promise.all(range(1_000).map((text) => publishBodies(driver, [text])))
    const inbox = await subscribe(driver, { onDelivery: acknowledging })
    await inbox.reaches(1_000)
    await driver.idle()
    expect(inbox.texts).toEqual(range(1_000))
  })

  test('one call of N is N calls; a call of exactly maxBatch is taken whole', async () => {
    const driver = memory()
    await publishBodies(driver, range(driver.capabilities.maxBatch))
    expect(
      driver
        .native()
        .messages(INFO)
        .map(({ body }) => new TextDecoder().decode(body)),
    ).toEqual(range(driver.capabilities.maxBatch))
  })

  test('topics and priorities do not mix, whatever they are called', async () => {
    const driver = memory()
    const names = ['a', 'a.b', 'a-b', '*', '#', '>', '__proto__', 'constructor']
    const destinations = names.flatMap((name) => [destination(name), destination(name, 'ERROR')])
    for (const each of destinations) await publishBodies(driver, [each.name], each)
    for (const each of destinations) {
      const inbox = await subscribe(driver, { destination: each })
      await inbox.reaches(1)
      await turns()
      expect(inbox.texts).toEqual([each.name])
    }
  })

  test('each message has its own outcome', async () => {
    const driver = memory({ maxMessageBytes: 100 })
    const bad = [
      message({ headers: { 'no space': 'x' } }),
      message({ headers: { ok: 'line\nfeed' } }),
      message({ headers: { ok: '\ud800' } }),
      message({ headers: JSON.parse('{"__proto__": "x"}') }),
      message({ headers: { ok: 1 as unknown as string } }),
      message({ body: null as never }),
    ]
    const [larger, fits] = [92, 91].map((size) =>
      message({ body: new Uint8Array(size), key: 'ü', headers: { name: 'äa' } }),
    )
    const outcomes = await publish(driver, [fits, ...bad, larger] as OutboundMessage[])
    expect(outcomes.map((outcome) => (outcome === 'confirmed' ? outcome : outcome.code))).toEqual([
      'confirmed',
      'INVALID',
      'INVALID',
      'INVALID',
      'INVALID',
      'INVALID',
      'UNKNOWN',
      'TOO_LARGE',
    ])
    expect(driver.native().count(INFO)).toBe(1)
    expect(Object.prototype).not.toHaveProperty('x')
  })

  test('what comes after a failure in its key fails too: what is stored is a prefix', async () => {
    const driver = memory({ maxMessageBytes: 1_000 })
    const batch = range(10).map((text) =>
      message({
        key: Number(text) % 2 === 0 ? 'even' : 'odd',
        body: new Uint8Array(text === '4' ? 2_000 : Number(text) + 1),
      }),
    )
    const outcomes = await publish(driver, [...batch, message({ body: new Uint8Array(50) })])
    expect(outcomes.map((outcome) => (outcome === 'confirmed' ? outcome : outcome.reason))).toEqual([
      'confirmed',
      'confirmed',
      'confirmed',
      'confirmed',
      'message-bytes',
      'confirmed',
      'after-failure',
      'confirmed',
      'after-failure',
      'confirmed',
      'confirmed',
    ])
    expect(outcomes[6]).toMatchObject({
      code: 'UNAVAILABLE',
      retryable: true,
      maybeSent: false,
      scope: 'message',
    })
    expect(
      driver
        .native()
        .messages(INFO)
        .map(({ body }) => body.length),
    ).toEqual([1, 2, 3, 4, 6, 8, 10, 50])
  })

  test('a full queue is THROTTLED for its destination only, and takes nothing of a message into its other queues', async () => {
    const driver = memory({ limit: { messages: 2, bytes: 1_000 } })
    await subscribe(driver, { group: 'b', onDelivery: acknowledging })
    await publishBodies(driver, ['1', '2'])
    await driver.idle()
    expect(await publish(driver, [message()])).toMatchObject([
      { code: 'THROTTLED', reason: 'queue-full', retryable: true, maybeSent: false, scope: 'destination' },
    ])
    expect(driver.native().count(INFO, 'b')).toBe(0)
    const error = destination('notifications', 'ERROR')
    expect(
      await publish(driver, [message({ destination: error, body: new Uint8Array(1_001) })]),
    ).toMatchObject([{ reason: 'queue-full' }])
    expect(await publish(driver, [message({ destination: error, body: new Uint8Array(1_000) })])).toEqual([
      'confirmed',
    ])
    const errors = await subscribe(driver, { destination: error, onDelivery: acknowledging })
    await errors.reaches(1)
    expect(await publish(driver, [message({ destination: error, body: new Uint8Array(1_000) })])).toEqual([
      'confirmed',
    ])
    // Room again: unsettled messages count, settled ones do not.
    const inbox = await subscribe(driver)
    await inbox.reaches(2)
    expect(await publish(driver, [message()])).toMatchObject([{ reason: 'queue-full' }])
    await inbox.deliveries[0]?.ack()
    expect(await publish(driver, [message()])).toEqual(['confirmed'])
  })

  test('one dedupId twice within the window is stored once and confirmed twice; afterwards it is stored again', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const driver = memory({ deduplication: { windowMs: 60 } })
    const one = message()
    expect(await publish(driver, [one, { ...one }])).toEqual(['confirmed', 'confirmed'])
    vi.advanceTimersByTime(59)
    expect(await publish(driver, [{ ...one }])).toEqual(['confirmed'])
    expect(driver.native().count(INFO)).toBe(1)
    vi.advanceTimersByTime(1)
    expect(await publish(driver, [{ ...one }])).toEqual(['confirmed'])
    expect(driver.native().count(INFO)).toBe(2)
    vi.useRealTimers()
  })

  test('what was refused is no duplicate when it comes again', async () => {
    const driver = memory()
    const one = message()
    driver.native().refuse(INFO)
    expect(await publish(driver, [one])).toMatchObject([{ code: 'THROTTLED' }])
    driver.native().refuse(INFO, false)
    expect(await publish(driver, [{ ...one }])).toEqual(['confirmed'])
    expect(driver.native().count(INFO)).toBe(1)
  })

  test('the same id is stored for each of two topics, and once more as a dead letter', async () => {
    const driver = memory()
    const [a, b, dead] = [destination('a'), destination('b'), destination('a.dead')]
    for (const to of [a, b]) await publish(driver, [message({ id: 'same', destination: to })])
    await publish(driver, [message({ id: 'same', destination: dead, dedupId: `same/${a.name}/dead/` })])
    expect([a, b, dead].map(({ name }) => driver.native().count(name))).toEqual([1, 1, 1])
  })

  test('without declare a missing destination is UNROUTABLE, and nothing is made', async () => {
    const broker = memoryBroker()
    for (const topology of ['none', 'check'] as const) {
      const driver = memory({ broker, topology })
      expect(await publish(driver, [message()])).toMatchObject([
        { code: 'UNROUTABLE', scope: 'destination', retryable: false, maybeSent: false },
      ])
      expect(await code(subscribe(driver))).toBe('UNROUTABLE')
      expect(await code(subscribe(driver, { group: 'g' }))).toBe('UNROUTABLE')
    }
    expect(broker.exists(INFO)).toBe(false)
    broker.declare(INFO)
    expect(await code(subscribe(memory({ broker, topology: 'none' }), { group: 'g' }))).toBe('UNROUTABLE')
    expect(await publish(memory({ broker, topology: 'none' }), [message()])).toEqual(['confirmed'])
  })

  test('a destination that is removed is made again, or UNROUTABLE; its subscriptions end', async () => {
    const driver = memory()
    const strict = memory({ broker: driver.native(), topology: 'none' })
    const inbox = await subscribe(driver)
    driver.native().remove(INFO)
    expect(await inbox.ended).toMatchObject({ code: 'UNROUTABLE', scope: 'destination' })
    expect(await publish(strict, [message()])).toMatchObject([{ code: 'UNROUTABLE' }])
    expect(await publish(driver, [message()])).toEqual(['confirmed'])
    expect(driver.native().count(INFO)).toBe(1)
  })
})
