import { describe, expect, test, vi } from 'vitest'
import { type Codec, jsonCodec } from '../src/codec.ts'
import { failure, NotifyError } from '../src/errors.ts'
import { Reject, Requeue, Retry } from '../src/listener/control.ts'
import type { HandlerContext } from '../src/listener/handlers.ts'
import { Bench, noteOf } from './support/consumer.ts'

describe('what a handler gets', () => {
  test('the notification, and what travelled beside it', async () => {
    const seen: unknown[] = []
    const bench = await new Bench({
      group: 'billing',
      handlers: [
        { priorities: ['INFO'], handle: (n, { signal: _, ...context }) => void seen.push(n, context) },
      ],
    }).start()
    bench.driver.deliver({
      message_id: 'id-1',
      payload: { a: 1 },
      priority: 'INFO',
      key: 'k',
      headers: { h: 'v' },
      deliveries: 2,
    })
    await bench.clock.settle()
    expect(seen).toEqual([
      {
        message_id: 'id-1',
        publisher_id: 'test',
        event_type: 'test.happened',
        timestamp: '',
        priority: 'INFO',
        payload: { a: 1 },
      },
      {
        attempt: 1,
        deliveries: 2,
        destination: { topic: 'notifications', priority: 'INFO', name: 'notifications.info' },
        group: 'billing',
        headers: { h: 'v' },
        key: 'k',
      },
    ])
    expect(bench.driver.subscription().source.group).toBe('billing')
  })

  test('what its codec adds, which cannot displace the rest', async () => {
    const json = jsonCodec()
    const extra = JSON.parse(
      '{"ctxt":{"user":"u"},"attempt":99,"signal":1,"__proto__":{"polluted":true}}',
    ) as object
    const codec: Codec = {
      ...json,
      decode: (message, source) => ({ ...json.decode(message, source), extra }),
    }
    const seen: HandlerContext[] = []
    const bench = await new Bench({
      codecs: [codec],
      handlers: [{ priorities: ['INFO'], handle: (_, context) => void seen.push(context) }],
    }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    expect(seen[0]).toMatchObject({ ctxt: { user: 'u' }, attempt: 1 })
    expect('polluted' in (seen[0] as object)).toBe(false)
    expect(seen[0]?.signal).toBeInstanceOf(AbortSignal)
  })

  test('a message decoded afresh for every run, so that changes do not reach the next', async () => {
    const seen: unknown[] = []
    const change = (n: { payload: object }, context: HandlerContext) => {
      seen.push({ ...n.payload }, { ...context.headers })
      Object.assign(n.payload, { changed: true })
      Object.assign(context.headers, { changed: 'yes' })
    }
    const bench = await new Bench({
      attempts: { max: 2 },
      handlers: [
        { priorities: ['INFO'], handle: change },
        {
          priorities: ['INFO'],
          handle(n, context) {
            change(n, context)
            throw new Error('fails')
          },
        },
        { priorities: ['INFO'], handle: change },
      ],
    }).start()
    bench.driver.deliver({ payload: { a: 1 }, headers: { h: 'v' } })
    await bench.clock.advance(1_000)
    expect(seen).toEqual(Array.from({ length: 4 }, () => [{ a: 1 }, { h: 'v' }]).flat())
    expect(bench.driver.published[0]?.headers).toEqual({ h: 'v', 'notify-dead': expect.any(String) })
  })

  test('a signal only when it asks, which never fires for one that ends in time', async () => {
    const signals: AbortSignal[] = []
    const bench = await new Bench({
      handlerTimeoutMs: 100,
      handlers: [{ priorities: ['INFO'], handle: (_, { signal }) => void signals.push(signal) }],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    await bench.stop()
    expect(signals).toHaveLength(1)
    expect(signals[0]?.aborted).toBe(false)
  })

  test('codecs are asked in their order, and the first that accepts decodes', async () => {
    const asked: string[] = []
    const codec = (name: string, takes: boolean): Codec => ({
      ...jsonCodec(),
      name,
      decode(message, source) {
        asked.push(name)
        if (!takes) throw failure('CORRUPT', name)
        return jsonCodec().decode(message, source)
      },
    })
    const bench = await new Bench({ codecs: [codec('a', false), codec('b', true), codec('c', true)] }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    expect(asked).toEqual(['a', 'b'])
    expect(bench.listener.stats().acked).toBe(1)

    const none = await new Bench({ codecs: [codec('first', false), codec('second', false)] }).start()
    none.driver.deliver()
    await none.clock.settle()
    expect(noteOf(none.driver.published[0])).toMatchObject({ code: 'CORRUPT', reason: 'first' })
  })
})

describe('which handlers run', () => {
  test('all that match, in their order', async () => {
    const ran: string[] = []
    const entry = (name: string, rest: object = {}) => ({
      priorities: ['INFO' as const],
      handle: () => void ran.push(name),
      ...rest,
    })
    const bench = await new Bench({
      handlers: [
        entry('first'),
        entry('type', { event_type: 'compute.*' }),
        entry('other type', { event_type: 'network.*' }),
        entry('publisher', { publisher_id: 'nova-*' }),
        entry('other publisher', { publisher_id: 'neutron-*' }),
        entry('where', { where: (n: { payload: object }) => 'a' in n.payload }),
        entry('not where', { where: () => false }),
        entry('last'),
      ],
    }).start()
    bench.driver.deliver({ event_type: 'compute.create', publisher_id: 'nova-api', payload: { a: 1 } })
    await bench.clock.settle()
    expect(ran).toEqual(['first', 'type', 'publisher', 'where', 'last'])
  })

  test('are found with one decoding, however many predicates say no', async () => {
    const json = jsonCodec()
    const decode = vi.fn(json.decode)
    const no = { priorities: ['INFO' as const], where: () => false, handle() {} }
    const bench = await new Bench({
      codecs: [{ ...json, decode }],
      handlers: [no, no, no, { ...no, where: () => true }],
    }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    expect(decode).toHaveBeenCalledTimes(1)
    expect(bench.listener.stats().acked).toBe(1)
  })

  test('do not run any more when the subscription ended in between', async () => {
    const end = Promise.withResolvers<void>()
    const handle = vi.fn()
    const bench = await new Bench({
      handlers: [
        { priorities: ['INFO'], handle: () => end.promise },
        { priorities: ['INFO'], handle },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    bench.driver.subscription().end()
    await bench.clock.settle()
    end.resolve()
    await bench.clock.settle()
    expect(handle).not.toHaveBeenCalled()
    expect(bench.listener.stats()).toMatchObject({ lost: 1, running: 0 })
  })

  test('by the priority of the message, whatever queue it came from', async () => {
    const ran: string[] = []
    const bench = await new Bench({
      handlers: [
        { priorities: ['INFO'], handle: () => void ran.push('INFO') },
        { priorities: ['WARN'], handle: () => void ran.push('WARN') },
      ],
    }).start()
    bench.driver.deliver({ priority: 'WARN' }, 'notifications.info')
    bench.driver.deliver({}, 'notifications.info')
    bench.driver.deliver({ priority: 'ERROR' }, 'notifications.info')
    await bench.clock.settle()
    expect(ran).toEqual(['WARN', 'INFO'])
    expect(bench.listener.stats()).toMatchObject({ acked: 2, unmatched: 1 })
  })

  test('only priorities that somebody handles are consumed, the most important first, and all seven where an entry names none', async () => {
    const some = await new Bench({ handlers: [{ priorities: ['ERROR', 'DEBUG'], handle() {} }] }).start()
    expect(some.driver.subscriptions.map(({ source }) => source.destination.name)).toEqual([
      'notifications.error',
      'notifications.debug',
    ])
    const all = await new Bench({
      topics: ['a', 'b'],
      handlers: [{ priorities: ['INFO'], handle() {} }, { handle() {} }],
    }).start()
    expect(all.driver.subscriptions).toHaveLength(14)
  })

  test('what no handler matches is acknowledged and counted', async () => {
    const bench = await new Bench({
      handlers: [{ priorities: ['INFO'], event_type: 'other', handle() {} }],
    }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    expect(delivery.acks).toBe(1)
    expect(bench.listener.stats()).toMatchObject({ received: 1, unmatched: 1, acked: 0, pending: 0 })
    expect(bench.failures).toEqual([])
  })
})

describe('a handler that fails', () => {
  test('is run again with backoff, max times in all, and then the message is dead', async () => {
    const at: number[] = []
    const bench = await new Bench({
      attempts: { max: 4, minMs: 100, maxMs: 1_000 },
      handlers: [
        {
          priorities: ['INFO'],
          handle(_, { attempt }) {
            expect(attempt).toBe(at.length + 1)
            at.push(bench.clock.now())
            throw new Error('no')
          },
        },
      ],
    }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.advance(10_000)
    expect(at).toHaveLength(4)
    at.forEach((time, index) => {
      if (index > 0) expect(time - (at[index - 1] as number)).toBeLessThanOrEqual(100 * 2 ** (index - 1) + 1)
    })
    expect(delivery.acks).toBe(1)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, acked: 0 })
    expect(bench.failures.map(({ code, reason }) => [code, reason])).toEqual([['UNKNOWN', 'handler']])
    expect(bench.failures[0]?.cause).toBeInstanceOf(Error)
  })

  test('waits for as long as Retry says, which is an attempt', async () => {
    const at: number[] = []
    const bench = await new Bench({
      attempts: { max: 2 },
      handlers: [
        {
          priorities: ['INFO'],
          handle() {
            at.push(bench.clock.now())
            throw new Retry({ delayMs: 7_000 })
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(20_000)
    expect(at).toEqual([0, 7_000])
    expect(bench.listener.stats().dead).toBe(1)
  })

  test('waits by backoff for withinMs in all; its own time, and what Retry asks for, do not count', async () => {
    let runs = 0
    const options = {
      attempts: { max: Number.POSITIVE_INFINITY, minMs: 1_000, maxMs: 1_000, withinMs: 3_000 },
    }
    const slow = await new Bench({
      ...options,
      handlers: [
        {
          priorities: ['INFO'],
          handle: () =>
            new Promise((_, reject) => {
              runs++
              slow.clock.setTimer(() => reject(new Error('no')), 10_000)
            }),
        },
      ],
    }).start()
    slow.driver.deliver()
    await slow.clock.advance(300_000)
    expect(slow.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
    expect(runs).toBeGreaterThan(3)

    const asked = await new Bench({
      ...options,
      handlers: [
        {
          priorities: ['INFO'],
          handle() {
            throw new Retry({ delayMs: 1_000 })
          },
        },
      ],
    }).start()
    asked.driver.deliver()
    await asked.clock.advance(300_000)
    expect(asked.listener.stats()).toMatchObject({ dead: 0, pending: 1 })
  })

  test('may ask for Retry first, and has all of its backoff left', async () => {
    let runs = 0
    const bench = await new Bench({
      attempts: { max: 3, minMs: 100, maxMs: 100, withinMs: 1_000 },
      handlers: [
        {
          priorities: ['INFO'],
          handle() {
            if (++runs === 1) throw new Retry({ delayMs: 60_000 })
            throw new Error('no')
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(70_000)
    expect(runs).toBe(3)
  })

  test('waits for its own time, whatever the others wait for', async () => {
    const at: string[] = []
    const bench = await new Bench({
      attempts: { max: 2 },
      handlers: [1_000, 5_000].map((delayMs) => ({
        priorities: ['INFO' as const],
        handle() {
          at.push(`${delayMs} at ${bench.clock.now()}`)
          throw new Retry({ delayMs })
        },
      })),
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(10_000)
    expect(at).toEqual(['1000 at 0', '5000 at 0', '1000 at 1000', '5000 at 5000'])
  })

  test('with attempts of its own', async () => {
    const runs = [0, 0]
    const bench = await new Bench({
      attempts: { max: 3, minMs: 1, maxMs: 1 },
      handlers: [0, 1].map((index) => ({
        priorities: ['INFO' as const],
        attempts: index === 1 ? { max: 5 } : undefined,
        handle() {
          runs[index] = (runs[index] as number) + 1
          throw new Error('no')
        },
      })),
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    expect(runs).toEqual([3, 5])
    expect(noteOf(bench.driver.published[0])).toMatchObject({
      attempts: 5,
      handlers: [
        { index: 0, attempts: 3 },
        { index: 1, attempts: 5 },
      ],
    })
    expect(bench.driver.published).toHaveLength(1)
  })

  test('does not make one run again that succeeded, nor keep another from running', async () => {
    const runs: string[] = []
    const bench = await new Bench({
      attempts: { max: 3, minMs: 1, maxMs: 1 },
      handlers: [
        {
          priorities: ['INFO'],
          handle(_, { attempt }) {
            runs.push('fails')
            if (attempt < 3) throw new Error('no')
          },
        },
        { priorities: ['INFO'], handle: async () => void runs.push('succeeds') },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    expect(runs).toEqual(['fails', 'succeeds', 'fails', 'fails'])
    expect(bench.listener.stats()).toMatchObject({ acked: 1, dead: 0 })
  })

  test('by its predicate counts as failed, and is asked again', async () => {
    let asked = 0
    let runs = 0
    const bench = await new Bench({
      attempts: { max: 3, minMs: 1, maxMs: 1 },
      handlers: [
        {
          priorities: ['INFO'],
          where() {
            if (++asked === 1) throw new Error('no')
            return true
          },
          handle: (_, { attempt }) => {
            runs++
            expect(attempt).toBe(runs + 1)
            if (runs === 1) throw new Error('no')
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    expect([asked, runs], 'once it has said yes, it is not asked again').toEqual([2, 2])
    expect(bench.listener.stats().acked).toBe(1)
  })

  test.each([
    ['undefined', undefined],
    ['a string', 'no'],
    ['a frozen object', Object.freeze({})],
    ['a revoked proxy', revoked()],
  ])('may throw anything: %s', async (_, thrown) => {
    const bench = await new Bench({
      attempts: { max: 1 },
      handlers: [{ priorities: ['INFO'], handle: () => Promise.reject(thrown) }],
    }).start()
    bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ dead: 1, pending: 0 })
  })

  test('may return anything: a thenable that throws, settles twice, or is none', async () => {
    // biome-ignore-start lint/suspicious/noThenProperty: what handlers may return
    const results: unknown[] = [
      {
        then() {
          throw new Error('no')
        },
      },
      {
        then(resolve: (value: unknown) => void, reject: (error: unknown) => void) {
          resolve(1)
          reject(2)
          resolve(3)
        },
      },
      { then: 1 },
      () => {},
      Symbol('s'),
    ]
    // biome-ignore-end lint/suspicious/noThenProperty: what handlers may return
    let next = 0
    const bench = await new Bench({
      attempts: { max: 1 },
      handlers: [{ priorities: ['INFO'], handle: () => results[next++] }],
    }).start()
    for (const _ of results) bench.driver.deliver()
    await bench.clock.settle()
    expect(bench.listener.stats()).toMatchObject({ acked: 4, dead: 1, pending: 0, running: 0 })
  })
})

describe('Reject', () => {
  test('sends to the dead letters at once, with its reason, when the others have ended', async () => {
    const runs: string[] = []
    const bench = await new Bench({
      attempts: { minMs: 1, maxMs: 1 },
      handlers: [
        {
          priorities: ['INFO'],
          event_type: 'test.*',
          handle() {
            runs.push('rejects')
            throw new Reject('unknown instance\u007fé')
          },
        },
        {
          priorities: ['INFO'],
          handle(_, { attempt }) {
            runs.push('retries')
            if (attempt < 3) throw new Error('no')
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(1_000)
    expect(runs).toEqual(['rejects', 'retries', 'retries', 'retries'])
    const [letter] = bench.driver.published
    expect(noteOf(letter)).toMatchObject({
      code: 'INVALID',
      reason: 'unknown instance\u007fé',
      attempts: 1,
      handlers: [{ index: 0, event_type: 'test.*', reason: 'unknown instance\u007fé', attempts: 1 }],
    })
    expect(letter?.headers['notify-dead']).toMatch(/^[\x20-\x7e]+$/)
  })
})

describe('Requeue', () => {
  const requeueing = (delayMs?: number) => ({
    priorities: ['INFO' as const],
    handle: vi.fn(() => {
      throw new Requeue({ delayMs })
    }),
  })
  const quiet = () => ({ priorities: ['INFO' as const], handle: vi.fn() })

  test('gives the message back, with its delay, when every handler has ended', async () => {
    const other = quiet()
    const bench = await new Bench({ handlers: [requeueing(500), other, requeueing(900)] }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    expect(delivery.requeues).toEqual([900])
    expect(other.handle).toHaveBeenCalledTimes(1)
    expect(bench.listener.stats()).toMatchObject({ requeued: 1, pending: 0 })
  })

  test('gives way to a handler that failed for good', async () => {
    const bench = await new Bench({
      handlers: [
        requeueing(),
        {
          priorities: ['INFO'],
          handle: () => {
            throw new Reject('no')
          },
        },
      ],
    }).start()
    const delivery = bench.driver.deliver()
    await bench.clock.settle()
    expect(delivery.requeues).toEqual([])
    expect(noteOf(bench.driver.published[0])).toMatchObject({ handlers: [{ index: 1 }] })
  })

  test.each([
    ['no requeue', { requeue: false }, undefined],
    ['no delay', { delay: false as const }, 500],
    ['not so long a delay', { delay: { maxMs: 100 } }, 500],
  ])(
    'waits here where the transport has %s, is no attempt, and may do so maxDeliveries times',
    async (_, capabilities, delayMs) => {
      const entry = requeueing(delayMs)
      const other = quiet()
      const bench = await new Bench(
        { attempts: { max: 2 }, maxDeliveries: 7, handlers: [entry, other] },
        { capabilities },
      ).start()
      const delivery = bench.driver.deliver()
      await bench.clock.settle()
      expect(bench.listener.stats().pending).toBe(1)
      await bench.clock.advance(delayMs === undefined ? 200_000 : 500 * 7 - 1)
      if (delayMs !== undefined) {
        expect(entry.handle).toHaveBeenCalledTimes(7)
        await bench.clock.advance(1)
      }
      expect(entry.handle).toHaveBeenCalledTimes(8)
      expect(other.handle).toHaveBeenCalledTimes(1)
      expect(delivery.requeues).toEqual([])
      expect(noteOf(bench.driver.published[0])).toMatchObject({
        reason: 'max-requeues',
        handlers: [{ index: 0, attempts: 0 }],
      })
      expect(bench.listener.stats()).toMatchObject({ dead: 1, requeued: 0, pending: 0 })
    },
  )

  test('waits here also when the driver says only then that it cannot', async () => {
    const entry = requeueing()
    const bench = await new Bench({ handlers: [entry] }).start()
    const delivery = bench.driver.subscription().make()
    delivery.answer = () => Promise.reject(failure('UNSUPPORTED'))
    bench.driver.subscription().onDelivery(delivery)
    await bench.clock.advance(5_000)
    expect(entry.handle.mock.calls.length).toBeGreaterThan(1)
    expect(bench.listener.stats()).toMatchObject({ pending: 1, lost: 0 })
  })
})

describe('Retry, Reject and Requeue', () => {
  test('are told by their brand, over two copies of this package', async () => {
    const brand = Symbol.for('@notify/core.control')
    const thrown = [
      Object.assign(new Error('x'), { [brand]: 'reject', reason: 'foreign' }),
      { [brand]: 'requeue', delayMs: 3 },
      { [brand]: 'requeue', delayMs: -3 },
    ]
    const bench = await new Bench({
      handlers: [
        {
          priorities: ['INFO'],
          handle: () => {
            throw thrown.shift()
          },
        },
      ],
    }).start()
    bench.driver.deliver()
    const second = bench.driver.deliver()
    const third = bench.driver.deliver()
    await bench.clock.settle()
    expect(noteOf(bench.driver.published[0])).toMatchObject({ reason: 'foreign' })
    expect(second.requeues).toEqual([3])
    expect(third.requeues).toEqual([0])
    expect(Object.getOwnPropertyDescriptor(new Retry(), brand)?.value).toBe('retry')
    expect(Object.getOwnPropertyDescriptor(new Reject('r'), brand)?.value).toBe('reject')
    expect(Object.getOwnPropertyDescriptor(new Requeue(), brand)?.value).toBe('requeue')
  })

  test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '5' as unknown as number])(
    'refuse a delay of %s',
    (delayMs) => {
      expect(() => new Retry({ delayMs })).toThrow(NotifyError)
      expect(() => new Requeue({ delayMs })).toThrow(NotifyError)
    },
  )

  test('keep what caused them', () => {
    const cause = new Error('database')
    expect(new Retry({ cause }).cause).toBe(cause)
    expect(new Reject('r', { cause }).cause).toBe(cause)
  })
})

describe('handlerTimeoutMs', () => {
  test('ends a run: its signal fires, its slot is free, it has failed, and what it does later is ignored', async () => {
    const reasons: unknown[] = []
    const late: (() => void)[] = []
    let runs = 0
    const bench = await new Bench({
      concurrency: 1,
      handlerTimeoutMs: 1_000,
      attempts: { max: 2, minMs: 1, maxMs: 1 },
      handlers: [
        {
          priorities: ['INFO'],
          event_type: 'slow',
          handle: (_, { signal, attempt }) =>
            new Promise<void>((resolve, reject) => {
              runs++
              late.push(attempt === 1 ? resolve : () => reject(new Error('late')))
              signal.addEventListener('abort', () => reasons.push(signal.reason))
            }),
        },
        { priorities: ['INFO'], event_type: 'quick', handle() {} },
      ],
    }).start()
    const slow = bench.driver.deliver({ event_type: 'slow' })
    const quick = bench.driver.deliver({ event_type: 'quick' })
    await bench.clock.advance(999)
    expect([quick.acks, bench.listener.stats().running]).toEqual([0, 1])
    await bench.clock.advance(1)
    expect(quick.acks).toBe(1)
    await bench.clock.advance(5_000)
    expect(runs).toBe(2)
    expect(reasons).toEqual([
      expect.objectContaining({ code: 'DEADLINE', reason: 'handler-timeout' }),
      expect.any(NotifyError),
    ])
    expect(noteOf(bench.driver.published[0])).toMatchObject({
      code: 'DEADLINE',
      reason: 'handler-timeout',
      attempts: 2,
    })
    for (const end of late) end()
    await bench.clock.settle()
    expect(slow.acks).toBe(1)
    expect(bench.listener.stats()).toMatchObject({ dead: 1, acked: 1, running: 0 })
    expect(bench.imbalance).toBe(0)
  })

  test('a signal that is asked for after the end says so', async () => {
    const contexts: HandlerContext[] = []
    const bench = await new Bench({
      handlerTimeoutMs: 10,
      attempts: { max: 1 },
      handlers: [{ priorities: ['INFO'], handle: (_, context) => new Promise(() => contexts.push(context)) }],
    }).start()
    bench.driver.deliver()
    await bench.clock.advance(10)
    expect(contexts[0]?.signal.aborted).toBe(true)
  })
})

describe('the sums', () => {
  test('obey the law at any instant: in handlers, predicates, codecs, hooks', async () => {
    let samples = 0
    const sample = <T>(value?: T): T => {
      samples++
      expect(bench.imbalance).toBe(0)
      return value as T
    }
    const json = jsonCodec()
    const bench = new Bench({
      attempts: { max: 2, minMs: 1, maxMs: 1 },
      codecs: [{ ...json, decode: (message, source) => sample(json.decode(message, source)) }],
      onFailure: sample,
      onStatus: sample,
      handlers: [
        {
          priorities: ['INFO'],
          where: () => sample(true),
          async handle(n) {
            sample()
            await undefined
            sample()
            if (n.event_type === 'fails') throw new Error('no')
          },
        },
      ],
    })
    await bench.start()
    bench.driver.onPublish = ([message], settle) => {
      sample()
      settle(message as never)
      sample()
    }
    for (const event_type of ['works', 'fails']) {
      const delivery = bench.driver.subscription().make({ event_type })
      delivery.answer = () => sample(Promise.resolve(true))
      bench.driver.subscription().onDelivery(delivery)
      sample()
    }
    bench.driver.deliver({ body: new Uint8Array() })
    await bench.clock.advance(1_000)
    await bench.stop()
    expect(samples).toBeGreaterThan(20)
    expect(bench.listener.stats()).toMatchObject({ received: 3, acked: 1, dead: 2, pending: 0 })
  })
})

function revoked(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}
