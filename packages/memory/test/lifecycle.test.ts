import type { Failure } from '@notify/core'
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
const deepFrozen = (value: unknown): boolean =>
  typeof value !== 'object' ||
  value === null ||
  (Object.isFrozen(value) && Object.values(value).every(deepFrozen))

describe('a driver', () => {
  test('is isolated from its siblings, and shares a broker only where it is given one', async () => {
    const broker = memoryBroker()
    const [one, two, alone] = [memory({ broker }), memory({ broker }), memory()]
    await publishBodies(one, ['a'])
    expect(two.native().count(INFO)).toBe(1)
    expect(alone.native().count(INFO)).toBe(0)
  })

  test('has frozen capabilities that follow from its options alone', () => {
    expect(memory().capabilities).toEqual(memory().capabilities)
    expect(JSON.parse(JSON.stringify(memory().capabilities))).toEqual(memory().capabilities)
    expect(deepFrozen(memory().capabilities)).toBe(true)
    expect(memory({ deduplication: false, history: 0 }).capabilities).toMatchObject({
      deduplication: false,
      history: false,
    })
    expect(memory({ broker: memoryBroker({ history: 0 }) }).capabilities.history).toBe(false)
  })

  test('answers health in every state', async () => {
    const driver = memory()
    expect(await driver.health(CALL)).toEqual({ ok: true, warnings: [] })
    driver.block()
    expect(await driver.health(CALL)).toMatchObject({
      ok: false,
      failure: { code: 'THROTTLED', reason: 'blocked' },
    })
    driver.unblock()
    driver.stall()
    expect(await driver.health(CALL)).toMatchObject({ ok: false, failure: { reason: 'no-answer' } })
    driver.disconnect()
    expect(await driver.health(CALL)).toMatchObject({
      ok: false,
      failure: { code: 'UNAVAILABLE', retryable: true },
    })
    await driver.close(CALL)
    expect(await driver.health(CALL)).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })
  })

  test('warns of a queue that fills and that nobody consumes', async () => {
    const driver = memory({ limit: { messages: 3 } })
    await publishBodies(driver, ['1', '2'])
    expect((await driver.health(CALL)).warnings[0]).toContain(INFO)
    await subscribe(driver)
    expect((await driver.health(CALL)).warnings).toEqual([])
  })

  test('publishing opens no consumer', async () => {
    const driver = memory()
    await publishBodies(driver, ['a'])
    expect(driver.native().consumers(INFO)).toBe(0)
  })

  test('close ends every subscription with undefined, hands back what is unsettled, and may be called twice', async () => {
    const broker = memoryBroker()
    const driver = memory({ broker })
    const inbox = await subscribe(driver)
    await publishBodies(driver, ['a'])
    await inbox.reaches(1)
    await Promise.all([driver.close(CALL), driver.close(CALL)])
    await driver.close(CALL)
    expect(await inbox.ended).toBeUndefined()
    expect(await inbox.deliveries[0]?.ack()).toBe(false)
    expect([broker.consumers(INFO), broker.count(INFO)]).toEqual([0, 1])
    // The broker was passed in, and goes on.
    const next = await subscribe(memory({ broker }))
    await next.reaches(1)
    expect(next.texts).toEqual(['a'])
  })

  test('after close settles CLOSED, stores nothing, and rejects a subscribe', async () => {
    const driver = memory()
    await driver.close(CALL)
    expect(await publish(driver, [message(), message()])).toMatchObject([
      { code: 'CLOSED', maybeSent: false },
      { code: 'CLOSED', maybeSent: false },
    ])
    expect(driver.native().exists(INFO)).toBe(false)
    expect(await code(subscribe(driver))).toBe('CLOSED')
  })

  test('what was handed over before close is settled before close resolves', async () => {
    const driver = memory()
    const outcomes: unknown[] = []
    // More than fits into one turn.
    for (let call = 0; call < 3; call++) {
      const batch = range(1_000).map(() => message())
      void driver.publish(batch, (_, failure) => outcomes.push(failure?.code ?? 'confirmed'), CALL)
    }
    await driver.close(CALL)
    expect(outcomes.length).toBe(3_000)
    expect(new Set(outcomes)).toEqual(new Set(['confirmed']))
    expect(driver.native().count(INFO)).toBe(3_000)
  })

  test('refuses bad options, and says which', () => {
    const refused = (make: () => unknown) => {
      try {
        make()
      } catch (error) {
        return error
      }
      return undefined
    }
    const bad: (() => unknown)[] = [
      () => memory({ limits: {} } as object),
      () => memory(JSON.parse('{"__proto__": {}}')),
      () => memory({ topology: 'make' as 'none' }),
      () => memory({ groups: [] }),
      () => memory({ record: -1 }),
      () => memory({ limit: { messages: 1.5 } }),
      () => memory({ deduplication: { windowMs: Number.NaN } }),
      () => memory({ broker: memoryBroker(), history: 5 }),
      () => memoryBroker({ record: 1 } as object),
    ]
    for (const make of bad) expect(refused(make)).toMatchObject({ code: 'INVALID', reason: 'option' })
  })
})

describe('ending a call', () => {
  const aborted: Failure = { code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' }

  test('a signal that has fired already: settled with its reason, nothing stored', async () => {
    const driver = memory()
    const reason = { ...aborted, code: 'DEADLINE' as const }
    expect(await publish(driver, [message()], AbortSignal.abort(reason))).toEqual([reason])
    expect(driver.native().exists(INFO)).toBe(false)
    expect(
      await code(
        driver.subscribe({ destination: destination() }, () => {}, {
          ...CALL,
          prefetch: 1,
          signal: AbortSignal.abort(aborted),
        }),
      ),
    ).toBe('ABORTED')
  })

  test('a signal that fires before the answer: settled with its reason and maybeSent', async () => {
    const driver = memory()
    for (const hold of [() => {}, () => driver.stall(), () => driver.block()]) {
      hold()
      const controller = new AbortController()
      const outcomes = publish(driver, [message(), message()], controller.signal)
      controller.abort(aborted)
      expect(await outcomes).toEqual([
        { ...aborted, maybeSent: true },
        { ...aborted, maybeSent: true },
      ])
    }
    const before = driver.native().count(INFO)
    driver.unblock()
    driver.resume()
    await turns()
    expect(driver.native().count(INFO)).toBe(before)
  })

  test('a subscribe that is aborted while pending rejects and leaves no consumer', async () => {
    const driver = memory()
    const controller = new AbortController()
    const pending = driver.subscribe({ destination: destination() }, () => {}, {
      ...CALL,
      prefetch: 1,
      signal: controller.signal,
    })
    controller.abort(aborted)
    expect(await code(pending)).toBe('ABORTED')
    expect(driver.native().consumers(INFO)).toBe(0)
  })

  test('no listener is left on a signal that many calls shared', async () => {
    const driver = memory()
    const { signal } = new AbortController()
    const add = vi.spyOn(signal, 'addEventListener')
    const remove = vi.spyOn(signal, 'removeEventListener')
    const left = () => add.mock.calls.length - remove.mock.calls.length
    driver.stall()
    const held = range(100).map(() => publish(driver, [message()], signal))
    expect(left()).toBe(100)
    driver.resume()
    await Promise.all([...held, ...range(1_000).map(() => publish(driver, [message()], signal))])
    expect(left()).toBe(0)
  })

  test('close settles what is held: CLOSED, maybeSent', async () => {
    const driver = memory()
    driver.stall()
    const outcomes = publish(driver, [message()])
    await driver.close(CALL)
    expect(await outcomes).toMatchObject([{ code: 'CLOSED', maybeSent: true }])
  })
})

describe('a connection that is lost', () => {
  test('publishes are UNAVAILABLE, subscriptions end, open deliveries settle false and come back', async () => {
    const driver = memory()
    const inbox = await subscribe(driver)
    await publishBodies(driver, ['a'])
    await inbox.reaches(1)
    driver.stall()
    const inFlight = publish(driver, [message()])
    driver.disconnect()
    expect(await inFlight).toMatchObject([
      { code: 'UNAVAILABLE', retryable: true, maybeSent: true, scope: 'transport' },
    ])
    expect(await publish(driver, [message()])).toMatchObject([
      { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' },
    ])
    expect(await inbox.ended).toMatchObject({ code: 'UNAVAILABLE' })
    expect([await inbox.deliveries[0]?.ack(), await inbox.deliveries[0]?.requeue()]).toEqual([false, false])
    expect(await code(subscribe(driver))).toBe('UNAVAILABLE')
    driver.resume()
    driver.connect()
    const next = await subscribe(driver)
    await next.reaches(1)
    expect([next.texts, next.deliveries[0]?.deliveries]).toEqual([['a'], 2])
    expect(driver.native().consumers(INFO)).toBe(1)
  })

  test('observe tells of down, blocked and up, once each, until it is told to stop or the driver closes', async () => {
    const driver = memory()
    const states: string[] = []
    driver.observe(() => {
      throw new Error('mine')
    })
    const stop = driver.observe(({ state }) => states.push(state))
    driver.disconnect()
    driver.disconnect()
    driver.connect()
    driver.block()
    driver.unblock()
    driver.stall()
    driver.resume()
    stop()
    driver.block()
    expect(states).toEqual(['down', 'up', 'blocked', 'up'])
    // Who comes later is told at once what is the matter.
    driver.observe(({ state }) => states.push(state))
    expect(states.slice(4)).toEqual(['blocked'])
    await driver.close(CALL)
    driver.disconnect()
    expect(states.length).toBe(5)
  })

  test('the other drivers of a broker do not notice', async () => {
    const broker = memoryBroker()
    const [one, two] = [memory({ broker }), memory({ broker })]
    const inbox = await subscribe(two, { onDelivery: acknowledging })
    one.disconnect()
    await publishBodies(two, ['a'])
    await inbox.reaches(1)
    expect(inbox.texts).toEqual(['a'])
  })

  test.each(['silent', 'blocked'])(
    'nothing is confirmed while the broker is %s, and everything in order afterwards',
    async (how) => {
      const driver = memory()
      if (how === 'silent') driver.stall()
      else driver.block()
      let settled = 0
      const all = Promise.all(range(50).map((text) => publishBodies(driver, [text]).then(() => settled++)))
      await turns()
      expect([settled, driver.native().count(INFO)]).toEqual([0, 0])
      if (how === 'silent') driver.resume()
      else driver.unblock()
      await all
      const stored = driver.native().messages(INFO)
      expect(stored.map(({ body }) => new TextDecoder().decode(body))).toEqual(range(50))
    },
  )
})
