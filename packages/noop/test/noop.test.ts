import { createListener, createNotifier, type Failure, type OutboundMessage } from '@notify/core'
import { describe, expect, test } from 'vitest'
import { noop } from '../src/index.ts'

const CALL = { timeoutMs: 1_000, signal: new AbortController().signal }
const DESTINATION = { topic: 'notifications', priority: 'INFO', name: 'notifications.info' } as const

function message(fields: Partial<OutboundMessage> = {}): OutboundMessage {
  return {
    id: 'id',
    dedupId: 'id/notifications.info',
    destination: DESTINATION,
    body: new Uint8Array(8),
    contentType: 'application/json',
    headers: {},
    ...fields,
  }
}

function publish(batch: readonly OutboundMessage[], driver = noop(), signal: AbortSignal = CALL.signal) {
  return new Promise<(Failure | 'confirmed')[]>((resolve, reject) => {
    const outcomes = new Map<OutboundMessage, Failure | 'confirmed'>()
    const settle = (one: OutboundMessage, failure?: Failure) => {
      if (outcomes.has(one)) reject(new Error('settled twice'))
      outcomes.set(one, failure ?? 'confirmed')
      if (outcomes.size === batch.length) resolve([...outcomes.values()])
    }
    void driver.publish(batch, settle, { timeoutMs: 1_000, signal })
  })
}

describe('a driver that discards', () => {
  test('says so, in frozen data, and does not consume', () => {
    const driver = noop()
    expect(driver.capabilities).toMatchObject({
      discards: true,
      confirms: 'none',
      requeue: false,
      groups: false,
    })
    expect([Object.isFrozen(driver.capabilities), Object.isFrozen(driver.capabilities.window)]).toEqual([
      true,
      true,
    ])
    expect(driver.capabilities).toEqual(noop().capabilities)
    expect(driver.subscribe).toBeUndefined()
    const listen = () => createListener({ driver, handlers: [{ handle() {} }] })
    expect(listen).toThrow(expect.objectContaining({ code: 'UNSUPPORTED' }))
  })

  test('settles each message, and never from within publish', async () => {
    let inside = true
    const driver = noop()
    const settled = new Promise<boolean>((resolve) => {
      void driver.publish([message()], () => resolve(inside), CALL)
    })
    inside = false
    expect(await settled).toBe(false)
    expect(await publish([message(), message()])).toEqual(['confirmed', 'confirmed'])
  })

  test('settles with the reason of a signal that fired before or meanwhile', async () => {
    const reason: Failure = { code: 'ABORTED', retryable: false, maybeSent: true, scope: 'message' }
    expect(await publish([message()], noop(), AbortSignal.abort(reason))).toEqual([
      { ...reason, maybeSent: false },
    ])
    const controller = new AbortController()
    const outcomes = publish([message()], noop(), controller.signal)
    controller.abort(reason)
    expect(await outcomes).toMatchObject([{ code: 'ABORTED', maybeSent: false }])
  })

  test('refuses what no transport takes, and only that', async () => {
    const limit = noop().capabilities.maxMessageBytes
    const outcomes = await publish([
      message(),
      message({ headers: { 'no space': 'x' } }),
      message({ headers: JSON.parse('{"__proto__":"x"}') }),
      message({ headers: { name: 'line\nfeed' } }),
      message({ headers: { name: '\ud800' } }),
      message({ headers: { name: 1 as never } }),
      message({ body: new Uint8Array(limit - 6), key: 'ü', headers: { ab: 'cd' } }),
      message({ body: new Uint8Array(limit - 5), key: 'ü', headers: { ab: 'cd' } }),
      message({ body: null as never }),
    ])
    expect(outcomes.map((outcome) => (outcome === 'confirmed' ? outcome : outcome.code))).toEqual(
      'confirmed INVALID INVALID INVALID INVALID INVALID confirmed TOO_LARGE UNKNOWN'.split(' '),
    )
  })

  test('after close settles CLOSED; close may be called twice; the others are left alone', async () => {
    const [driver, other] = [noop(), noop()]
    expect(await driver.health(CALL)).toEqual({ ok: true, warnings: [] })
    await Promise.all([driver.close(CALL), driver.close(CALL)])
    expect(await publish([message()], driver)).toMatchObject([
      { code: 'CLOSED', maybeSent: false, retryable: false },
    ])
    expect(await driver.health(CALL)).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })
    expect(await publish([message()], other)).toEqual(['confirmed'])
  })
})

test('a notifier with nothing else does not touch the payload, and counts the emit as filtered', async () => {
  const notifier = createNotifier({ publisherId: 'compute.host1', driver: noop() })
  const payload = {
    get dear(): never {
      throw new Error('touched')
    },
  }
  await notifier.info('compute.create_instance', payload)
  expect(await notifier.close()).toMatchObject({ emitted: 1, filtered: 1, failed: 0 })
})
