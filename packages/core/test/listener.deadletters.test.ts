import { describe, expect, test, vi } from 'vitest'
import type { Driver, OutboundMessage } from '../src/driver.ts'
import type { Failure } from '../src/errors.ts'
import { Reject } from '../src/listener/control.ts'
import type { ListenerOptions } from '../src/listener/listener.ts'
import { Bench, broken, noteOf, type ScriptedDelivery } from './support/consumer.ts'

const rejecting = { priorities: ['INFO' as const], handle: () => Promise.reject(new Reject('no')) }
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const open = (options: Partial<ListenerOptions> = {}, more: ConstructorParameters<typeof Bench>[1] = {}) =>
  new Bench({ handlers: [rejecting], ...options }, more).start()

/** Answers the calls of `publish` one after the other, and confirms the rest. */
function answer(...failures: (Failure | undefined)[]): Driver['publish'] {
  return (batch, settle) => {
    for (const message of batch) settle(message, failures.shift())
  }
}

/** What travels, and not what it is retried with. */
const wire = ({ destination, ...message }: OutboundMessage) => ({ ...message, destination: destination.name })

describe('a dead letter', () => {
  test('is what came, byte for byte, and a note', async () => {
    const bench = await open({ group: 'billing', topics: ['compute'] })
    const delivery = bench.driver.deliver(
      { message_id: 'id-1', headers: { 'x-a': 'ü', empty: '' }, contentType: 'application/vnd.x', key: 'k' },
      'compute.info',
    )
    await bench.clock.settle()
    const [letter] = bench.driver.published as [OutboundMessage]
    expect(wire(letter)).toEqual({
      id: 'id-1',
      dedupId: 'id-1/compute.info/dead/billing',
      destination: 'compute.dead.info',
      body: delivery.body,
      contentType: 'application/vnd.x',
      headers: { 'x-a': 'ü', empty: '', 'notify-dead': expect.any(String) },
      key: 'k',
    })
    expect(noteOf(letter)).toEqual({
      code: 'INVALID',
      reason: 'no',
      attempts: 1,
      handlers: [{ index: 0, code: 'INVALID', reason: 'no', attempts: 1 }],
      group: 'billing',
      from: 'compute.info',
      at: '2026-11-22T00:00:00.000Z',
    })
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })

  test('of a dead letter goes one further, with a note of its own', async () => {
    const bench = await open({ topics: ['a.dead.b.dead'] })
    bench.driver.deliver(
      { message_id: 'i', headers: { 'Notify-Dead': '{"from":"before"}', other: 'o' } },
      'a.dead.b.dead.info',
    )
    await bench.clock.settle()
    const [letter] = bench.driver.published as [OutboundMessage]
    expect(letter.destination.name).toBe('a.dead.b.dead.dead.info')
    expect(letter.dedupId).toBe('i/a.dead.b.dead.info/dead/')
    expect(Object.keys(letter.headers)).toEqual(['other', 'notify-dead'])
    expect(noteOf(letter)).toMatchObject({ from: 'a.dead.b.dead.info' })
  })

  test.each([
    ['no id', ''],
    ['an id with a space', 'a b'],
    ['an id that is too long', 'x'.repeat(129)],
  ])('has a fresh id where the message has %s, the same over all retries', async (_, message_id) => {
    const bench = await open()
    bench.driver.onPublish = answer(broken('UNAVAILABLE'), broken('FORBIDDEN', { scope: 'message' }))
    bench.driver.deliver({ message_id })
    await bench.clock.advance(10_000)
    const ids = bench.driver.published.map(({ id }) => id)
    expect(ids).toHaveLength(3)
    expect(ids[0]).toMatch(UUID)
    expect(new Set(ids).size).toBe(1)
    expect(new Set(bench.driver.published.map(({ dedupId }) => dedupId))).toEqual(
      new Set([`${ids[0]}/notifications.info/dead/`]),
    )
    expect(new Set(bench.driver.published).size, 'a retry is a message of its own').toBe(3)
  })

  test('leaves out what no header may be, and says so', async () => {
    const bench = await open()
    const hostile = JSON.parse(
      '{"fine":"1","__proto__":"x","line":"a\\nb","sp ace":"1","constructor":"c"}',
    ) as Record<string, string>
    bench.driver.deliver({
      headers: { ...hostile, [Symbol.iterator]: 'x' } as Record<string, string>,
      key: 'a\u0000b',
      contentType: 'a\r\nb',
    })
    await bench.clock.settle()
    const [letter] = bench.driver.published as [OutboundMessage]
    expect(Object.keys(letter.headers)).toEqual(['fine', 'constructor', 'notify-dead'])
    expect(letter.contentType).toBe('application/octet-stream')
    expect('key' in letter).toBe(false)
    expect(noteOf(letter).omitted_headers).toEqual(['__proto__', 'line', 'sp ace'])
  })

  test.each([
    ['no JSON', new TextEncoder().encode('{"event_type":'), 'json'],
    ['no UTF-8', new Uint8Array([0xff, 0xfe]), 'utf-8'],
    ['no notification', new TextEncoder().encode('[]'), 'envelope'],
    [
      'no priority that there is',
      new TextEncoder().encode('{"event_type":"a","priority":"LOUD"}'),
      'priority',
    ],
  ])(
    'is what becomes of %s, at the priority of its queue, and the next is handled',
    async (_, body, reason) => {
      const handle = vi.fn()
      const bench = await open({ handlers: [{ priorities: ['WARN', 'INFO'], handle }] })
      const bad = bench.driver.deliver({ body }, 'notifications.warn')
      bench.driver.deliver({}, 'notifications.warn')
      await bench.clock.settle()
      const [letter] = bench.driver.published as [OutboundMessage]
      expect(letter.destination.name).toBe('notifications.dead.warn')
      expect(letter.body).toBe(bad.body)
      expect(letter.id).toMatch(UUID)
      expect(noteOf(letter)).toMatchObject({ code: 'CORRUPT', reason, attempts: 0 })
      expect(handle).toHaveBeenCalledTimes(1)
      expect(bench.failures).toEqual([expect.objectContaining({ code: 'CORRUPT', reason })])
      expect(bench.listener.stats()).toMatchObject({ dead: 1, acked: 1, pending: 0 })
    },
  )

  test.each([
    [
      'throws what it likes',
      () => {
        throw new TypeError('secret')
      },
    ],
    ['returns nothing', () => undefined],
    ['returns no envelope', () => ({})],
    ['returns an empty envelope', () => ({ envelope: {} })],
  ])('is what becomes of a message whose codec %s', async (_, decode) => {
    const bench = await open({
      codecs: [{ name: 'x', contentType: 'x', encode: () => new Uint8Array(), decode: decode as never }],
    })
    bench.driver.deliver()
    await bench.clock.settle()
    expect(noteOf(bench.driver.published[0])).toMatchObject({ code: 'CORRUPT', reason: 'codec' })
    expect(bench.driver.published[0]?.headers['notify-dead']).not.toContain('secret')
  })

  test('holds nothing of what the handler threw but a name for it', async () => {
    const bench = await open({
      attempts: { max: 1 },
      handlers: [
        { priorities: ['INFO'], handle: () => Promise.reject(new Error('postgres://user:hunter2@db')) },
      ],
    })
    bench.driver.deliver()
    await bench.clock.settle()
    expect(JSON.stringify(bench.driver.published[0]?.headers)).not.toContain('hunter2')
    expect(bench.failures[0]?.message).not.toContain('hunter2')
  })
})

describe('the original', () => {
  test('is acknowledged only after the dead letter is confirmed, and the handler not run again', async () => {
    const handle = vi.fn(() => Promise.reject(new Reject('no')))
    const bench = await open({ handlers: [{ priorities: ['INFO'], handle }] })
    let confirm = () => {}
    bench.driver.onPublish = ([message], settle) => {
      confirm = () => settle(message as OutboundMessage)
    }
    const delivery = bench.driver.deliver()
    await bench.clock.advance(20_000)
    expect(delivery.acks).toBe(0)
    expect(bench.listener.stats()).toMatchObject({ pending: 1, dead: 0 })
    confirm()
    await bench.clock.settle()
    expect(delivery.acks).toBe(1)
    expect(handle).toHaveBeenCalledTimes(1)
    expect(bench.listener.stats()).toMatchObject({ pending: 0, dead: 1 })
  })

  test('is lost, not dead, where acknowledging it is of no avail', async () => {
    const bench = await open()
    const delivery = bench.driver.subscription().make()
    delivery.answer = false
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ lost: 1, dead: 0 })
    expect(bench.failures).toEqual([])
  })

  test('with deadLetters: false is dropped, and that is reported', async () => {
    const bench = await open({ deadLetters: false })
    const delivery = bench.driver.deliver()
    bench.driver.deliver({ body: new Uint8Array() })
    await bench.clock.settle()
    expect(delivery.acks).toBe(1)
    expect(bench.driver.published).toEqual([])
    expect(bench.failures.map(({ code }) => code).toSorted()).toEqual(['CORRUPT', 'INVALID'])
    expect(bench.listener.stats()).toMatchObject({ dropped: 2, dead: 0, pending: 0 })
  })
})

describe('while the dead letter cannot be written', () => {
  test.each([
    ['is away', broken('UNAVAILABLE', { scope: 'transport' })],
    ['has no such queue', broken('UNROUTABLE')],
    ['does not permit it', broken('FORBIDDEN', { scope: 'message' })],
    ['does not know the password', broken('UNAUTHENTICATED', { scope: 'transport' })],
    ['fails in a way of its own', new Error('EPIPE') as unknown as Failure],
  ])('because the broker %s, only the publish is tried again', async (_, failed) => {
    const handle = vi.fn(() => Promise.reject(new Reject('no')))
    const bench = await open({ handlers: [{ priorities: ['INFO'], handle }] })
    bench.driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, failed)
    }
    const deliveries = Array.from({ length: 10 }, () => bench.driver.deliver())
    await bench.clock.advance(120_000)
    expect(bench.listener.stats()).toMatchObject({ pending: 10, dead: 0 })
    expect(bench.driver.published.length).toBeGreaterThan(10)
    expect(bench.driver.published.length, 'and not in a hot loop').toBeLessThan(600)
    const health = bench.listener.health()
    await bench.clock.settle()
    expect((await health).warnings).not.toEqual([])
    bench.driver.onPublish = undefined
    await bench.clock.advance(15_000)
    expect(bench.listener.stats()).toMatchObject({ pending: 0, dead: 10 })
    expect(deliveries.every(({ acks }) => acks === 1)).toBe(true)
    expect(handle).toHaveBeenCalledTimes(10)
  })

  test('and the driver throws, rejects, or never answers, it is tried again all the same', async () => {
    const bench = await open()
    const answers: Driver['publish'][] = [
      () => {
        throw new Error('no')
      },
      () => Promise.reject(new Error('no')),
      () => {},
    ]
    bench.driver.onPublish = (...call) => (answers.shift() ?? answer())(...call)
    bench.driver.deliver()
    await bench.clock.advance(60_000)
    expect(answers).toEqual([])
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })

  test('a confirmation that comes late still counts', async () => {
    const bench = await open()
    let confirm = () => {}
    bench.driver.onPublish = ([message], settle) => {
      confirm = () => settle(message as OutboundMessage)
      bench.driver.onPublish = () => {}
    }
    bench.driver.deliver()
    await bench.clock.advance(35_000)
    expect(bench.driver.published).toHaveLength(2)
    confirm()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })

  test('and the broker asks for silence, it waits', async () => {
    const bench = await open()
    bench.driver.status({ state: 'blocked' })
    bench.driver.deliver()
    await bench.clock.advance(120_000)
    expect(bench.driver.published).toEqual([])
    bench.driver.status({ state: 'up' })
    await bench.clock.settle()
    expect(bench.driver.published).toHaveLength(1)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })
})

test('a dead letter whose original is lost is not tried again', async () => {
  const bench = await open()
  bench.driver.onPublish = answer(
    ...Array.from({ length: 9 }, () => broken('FORBIDDEN', { scope: 'message' })),
  )
  bench.driver.deliver()
  await bench.clock.settle()
  bench.driver.subscription().end()
  await bench.clock.settle()
  const { length } = bench.driver.published
  await bench.clock.advance(60_000)
  expect(bench.driver.published).toHaveLength(length)
  expect(bench.listener.stats()).toMatchObject({ lost: 1, dead: 0, pending: 0 })
})

describe('refused for its shape', () => {
  test.each(['TOO_LARGE', 'INVALID', 'UNSUPPORTED'] as const)(
    '(%s) it is tried once more without any header',
    async (code) => {
      const bench = await open()
      bench.driver.onPublish = answer(broken(code, { scope: 'message' }))
      bench.driver.deliver({ headers: { a: '1' }, key: 'k', contentType: 'text/x' })
      await bench.clock.advance(0)
      const [first, second] = bench.driver.published as [OutboundMessage, OutboundMessage]
      expect(Object.keys(first.headers)).toEqual(['a', 'notify-dead'])
      expect(second).toMatchObject({
        id: first.id,
        dedupId: first.dedupId,
        headers: {},
        key: 'k',
        contentType: 'text/x',
      })
      expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
    },
  )

  test('once more, it stays unsettled, is told once, and is tried again every maxMs', async () => {
    const handle = vi.fn(() => Promise.reject(new Reject('no')))
    const bench = await open({
      backoff: { minMs: 100, maxMs: 8_000 },
      handlers: [{ priorities: ['INFO'], handle }],
    })
    const refusal = broken('INVALID', { scope: 'message', reason: 'headers' })
    bench.driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, refusal)
    }
    const delivery = bench.driver.deliver()
    await bench.clock.advance(0)
    expect(bench.driver.published).toHaveLength(2)
    expect(bench.failures).toEqual([expect.objectContaining({ code: 'INVALID', reason: 'headers' })])
    await bench.clock.advance(7_999)
    expect(bench.driver.published).toHaveLength(2)
    await bench.clock.advance(1)
    expect(bench.driver.published).toHaveLength(3)
    await bench.clock.advance(16_000)
    expect(bench.driver.published).toHaveLength(5)
    expect(bench.failures).toHaveLength(1)
    expect(delivery.acks).toBe(0)
    expect(handle).toHaveBeenCalledTimes(1)
    const health = bench.listener.health()
    await bench.clock.settle()
    expect((await health).warnings).toEqual(['1 dead letters are refused, and their messages are kept'])
    bench.driver.onPublish = undefined
    await bench.clock.advance(8_000)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })

  test('by core itself, where the note makes it larger than the driver takes', async () => {
    const bench = await open({}, { capabilities: { maxMessageBytes: 300 } })
    const delivery = bench.driver.deliver({ payload: { text: 'x'.repeat(150) } })
    await bench.clock.advance(0)
    expect(bench.driver.published.map(({ headers }) => headers)).toEqual([{}])
    expect(delivery.acks).toBe(1)
  })
})

describe('within holdMs', () => {
  const capabilities = { holdMs: 100_000 }
  const silent: Driver['publish'] = () => {}

  test('what is not running is given back at nine tenths, told once', async () => {
    const bench = await open(
      {
        concurrency: 2,
        attempts: { max: 9, minMs: 300_000, maxMs: 300_000, withinMs: 3_000_000 },
        handlers: [
          { priorities: ['INFO'], event_type: 'dead', handle: rejecting.handle },
          {
            priorities: ['INFO'],
            event_type: 'retries',
            handle: () => Promise.reject(Object.assign(new Error('no'), RETRY)),
          },
          { priorities: ['INFO'], event_type: 'runs', handle: () => new Promise(() => {}) },
        ],
      },
      { capabilities },
    )
    bench.driver.onPublish = silent
    const deliver = (event_type: string) => bench.driver.deliver({ event_type })
    const [dead, retries, ...rest] = ['dead', 'retries', 'runs', 'runs', 'runs'].map(deliver) as [
      ScriptedDelivery,
      ScriptedDelivery,
      ...ScriptedDelivery[],
    ]
    await bench.clock.advance(89_999)
    expect(bench.listener.stats()).toMatchObject({ pending: 5, running: 2, requeued: 0 })
    await bench.clock.advance(1)
    expect([dead, retries, ...rest].map(({ requeues }) => requeues.length)).toEqual([1, 1, 0, 0, 1])
    expect(bench.listener.stats()).toMatchObject({ pending: 2, running: 2, requeued: 3 })
    expect(bench.failures.map(({ code, reason }) => `${code} ${reason}`)).toEqual(
      Array.from({ length: 3 }, () => 'DEADLINE hold'),
    )
    const published = bench.driver.published.length
    await bench.clock.advance(300_000)
    expect(bench.failures).toHaveLength(3)
    expect(bench.driver.published, 'its dead letter is not tried again').toHaveLength(published)
  })

  test('what runs at that time is given back if it fails later, and settled if not', async () => {
    const bench = await open(
      {
        handlers: [
          {
            priorities: ['INFO'],
            handle: (n) =>
              new Promise<void>((resolve, reject) => {
                bench.clock.setTimer(
                  () => (n.event_type === 'works' ? resolve() : reject(new Error('no'))),
                  95_000,
                )
              }),
          },
        ],
      },
      { capabilities },
    )
    const works = bench.driver.deliver({ event_type: 'works' })
    const fails = bench.driver.deliver({ event_type: 'fails' })
    await bench.clock.advance(95_000)
    expect([works.acks, works.requeues.length]).toEqual([1, 0])
    expect([fails.acks, fails.requeues.length]).toEqual([0, 1])
  })

  test('nothing can be given back where the transport takes nothing back: it stays', async () => {
    const bench = await open({}, { capabilities: { ...capabilities, requeue: false } })
    bench.driver.onPublish = silent
    bench.driver.deliver()
    await bench.clock.advance(200_000)
    expect(bench.listener.stats()).toMatchObject({ pending: 1, requeued: 0 })
    expect(bench.failures).toEqual([])
  })
})

const RETRY = { [Symbol.for('@notify/core.control')]: 'retry', delayMs: 300_000 }

describe('the dead letters of many', () => {
  test('keep to the window of the driver', async () => {
    const bench = await open(
      {},
      { capabilities: { window: { messages: 8, bytes: 1_000_000, calls: 2 }, maxBatch: 3 } },
    )
    let open_ = 0
    let most = 0
    bench.driver.onPublish = (batch, settle) => {
      open_++
      most = Math.max(most, open_)
      expect(batch.length).toBeLessThanOrEqual(3)
      bench.clock.setTimer(() => {
        open_--
        for (const message of batch) settle(message)
      }, 10)
    }
    for (let index = 0; index < 50; index++) bench.driver.deliver()
    await bench.clock.advance(1_000)
    expect(most).toBe(2)
    expect(bench.listener.stats()).toMatchObject({ dead: 50, pending: 0 })
  })

  test('probe a broker that is away one at a time', async () => {
    const bench = await open()
    bench.driver.onPublish = (batch, settle) => {
      for (const message of batch) settle(message, broken('UNAVAILABLE', { scope: 'transport' }))
    }
    for (let index = 0; index < 50; index++) bench.driver.deliver()
    await bench.clock.advance(0)
    const before = bench.driver.published.length
    await bench.clock.advance(60_000)
    expect(bench.driver.published.length - before).toBeLessThan(120)
    expect(bench.driver.published.length - before).toBeGreaterThan(20)
  })
})
