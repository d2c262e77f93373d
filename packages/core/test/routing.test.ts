import { describe, expect, test } from 'vitest'
import { jsonCodec, type NotifyError, type Priority, type Rule } from '../src/index.ts'
import { emitting } from './support/emitting.ts'
import { DOWN, envelopeOf, scripted, trouble } from './support/publisher.ts'

const two = (names = ['first', 'second']) =>
  names.map((name) => scripted({ name, reply: 'confirm' })) as [
    ReturnType<typeof scripted>,
    ReturnType<typeof scripted>,
  ]

describe('when', () => {
  test.each<[what: string, when: Rule | Rule[], gets: string[]]>([
    ['absent: everything', {}, ['INFO compute.a', 'ERROR compute.a', 'ERROR storage.a']],
    ['a glob', { event_type: 'compute.*' }, ['INFO compute.a', 'ERROR compute.a']],
    [
      'several globs, of which one must match',
      { event_type: ['x', '*.a'] },
      ['INFO compute.a', 'ERROR compute.a', 'ERROR storage.a'],
    ],
    ['priorities', { priorities: ['ERROR'] }, ['ERROR compute.a', 'ERROR storage.a']],
    ['both must match', { event_type: 'compute.*', priorities: ['ERROR'] }, ['ERROR compute.a']],
    [
      'of several rules one must',
      [{ event_type: 'storage.*' }, { priorities: ['INFO'] }],
      ['INFO compute.a', 'ERROR storage.a'],
    ],
    ['no glob matches nothing', { event_type: [] }, []],
    ['no priority matches nothing', { priorities: [] }, []],
    ['no rule matches nothing', [], []],
  ])('%s', async (_, when, gets) => {
    const driver = scripted({ reply: 'confirm' })
    const { notifier } = emitting({ notifier: { drivers: [{ driver, when }] } })
    for (const [priority, event_type] of [
      ['INFO', 'compute.a'],
      ['ERROR', 'compute.a'],
      ['ERROR', 'storage.a'],
    ] as const) {
      const { results } = await notifier.notify(priority, event_type, {})
      expect(results.length).toBe(gets.includes(`${priority} ${event_type}`) ? 1 : 0)
    }
    expect(
      driver.handed.map(({ message }) => `${envelopeOf(message).priority} ${envelopeOf(message).event_type}`),
    ).toEqual(gets)
    expect(notifier.stats()).toMatchObject({
      emitted: 3,
      confirmed: gets.length,
      filtered: 3 - gets.length,
      pending: 0,
    })
  })

  test('what matches no driver is not encoded, and its input is checked all the same', async () => {
    let reads = 0
    const payload = {
      get a() {
        return ++reads
      },
    }
    const { notifier } = emitting({
      notifier: { drivers: [{ driver: scripted(), when: { priorities: ['ERROR'] } }] },
    })
    const { message_id, results } = await notifier.info('a', payload, { messageId: 'mine' })
    expect({ message_id, results }).toEqual({ message_id: 'mine', results: [] })
    await expect(notifier.info('', payload)).rejects.toMatchObject({ code: 'INVALID' })
    expect(reads).toBe(0)
  })

  test('chooses for each driver, and entries that did not match are absent from the receipt', async () => {
    const [all, errors] = two(['all', 'errors'])
    const { notifier } = emitting({
      notifier: {
        drivers: [{ driver: all }, { driver: errors, when: { priorities: ['ERROR', 'CRITICAL'] } }],
      },
    })
    const drivers = async (priority: Priority) =>
      (await notifier.notify(priority, 'a', {})).results.map(({ driver }) => driver)
    expect(await drivers('INFO')).toEqual(['all'])
    expect(await drivers('ERROR')).toEqual(['all', 'errors'])
  })
})

describe('several drivers', () => {
  test('are isolated: one that is silent, down or full neither slows nor fails the other', async () => {
    const [well, ill] = two(['well', 'ill'])
    ill.reply = 'hold'
    const { clock, notifier } = emitting({
      notifier: { drivers: [{ driver: well }, { driver: ill }], buffer: { messages: 10 } },
    })
    const errors: NotifyError[] = []
    for (let index = 0; index < 30; index++)
      notifier.info('a', { index }).catch((error) => errors.push(error))
    await clock.settle()
    ill.reply = DOWN
    ill.fail(DOWN)
    for (let index = 0; index < 30; index++) {
      notifier.info('b', { index }).catch((error) => errors.push(error))
      await clock.settle()
    }
    expect(notifier.stats().drivers).toMatchObject([
      { driver: 'well', emitted: 60, confirmed: 40, failed: 20 },
      { driver: 'ill', emitted: 60, confirmed: 0, pending: 10 },
    ])
    expect(errors.every(({ code }) => code === 'OVERLOADED')).toBe(true)
    await clock.advance(60_000)
    expect(notifier.stats()).toMatchObject({ confirmed: 0, failed: 60, pending: 0 })
  })

  test('each fail in their own way, and the emit by the first failure of a required one', async () => {
    const [first, second] = two()
    first.reply = 'hold'
    second.reply = trouble('FORBIDDEN', { scope: 'destination' })
    const { clock, notifier } = emitting({ notifier: { drivers: [{ driver: first }, { driver: second }] } })
    const emission = notifier.info('a', {})
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ pending: 1 })
    first.fail(trouble('INVALID'))
    await expect(emission).rejects.toMatchObject({
      code: 'FORBIDDEN',
      receipt: {
        results: [
          { driver: 'first', failure: { code: 'INVALID' } },
          { driver: 'second', failure: { code: 'FORBIDDEN' } },
        ],
      },
    })
  })

  test('with one codec share one encoding, with another have their own', async () => {
    const encoded: string[] = []
    const codecOf = (name: string) => ({
      ...jsonCodec(),
      contentType: name,
      encode: (envelope: Parameters<ReturnType<typeof jsonCodec>['encode']>[0]) => {
        encoded.push(name)
        return jsonCodec().encode(envelope)
      },
    })
    const [common, own] = [codecOf('common'), codecOf('own')]
    const drivers = ['a', 'b', 'c'].map((name) => scripted({ name, reply: 'confirm' }))
    const entries = drivers.map((driver, index) => (index === 2 ? { driver, codec: own } : { driver }))
    const { notifier } = emitting({ notifier: { drivers: entries, codec: common, topics: ['one', 'two'] } })
    await notifier.info('x', {})
    expect(encoded).toEqual(['common', 'own'])
    expect(drivers.map(({ handed }) => handed.map(({ message }) => message.contentType))).toEqual([
      ['common', 'common'],
      ['common', 'common'],
      ['own', 'own'],
    ])
  })

  test('what none can encode was never a message', async () => {
    const drivers = two()
    const { notifier } = emitting({ notifier: { drivers: drivers.map((driver) => ({ driver })) } })
    await expect(notifier.info('x', { a: 1n })).rejects.toMatchObject({
      reason: 'payload-bigint',
      receipt: { results: [] },
    })
    expect(notifier.stats()).toMatchObject({ failed: 1, drivers: [{ emitted: 0 }, { emitted: 0 }] })
  })

  test('what one codec cannot encode, another one may', async () => {
    const [json, picky] = two(['json', 'picky'])
    const codec = {
      ...jsonCodec(),
      encode: (): never => {
        throw trouble('INVALID', { reason: 'no-arrays' })
      },
    }
    const { notifier } = emitting({ notifier: { drivers: [{ driver: json }, { driver: picky, codec }] } })
    await expect(notifier.info('x', [])).rejects.toMatchObject({
      code: 'INVALID',
      reason: 'no-arrays',
      receipt: {
        results: [
          { driver: 'json', status: 'confirmed' },
          { driver: 'picky', status: 'failed', attempts: 0 },
        ],
      },
    })
    expect(picky.calls).toEqual([])
    expect(notifier.stats().drivers).toMatchObject([{ confirmed: 1 }, { emitted: 1, failed: 1 }])
  })

  test('a driver that discards is no part of the receipt or the sums', async () => {
    const [kept] = two()
    const discards = scripted({ capabilities: { discards: true } })
    const { notifier } = emitting({ notifier: { drivers: [{ driver: discards }, { driver: kept }] } })
    expect((await notifier.info('a', {})).results).toHaveLength(1)
    expect(notifier.stats().drivers).toHaveLength(1)
    expect(discards.calls).toEqual([])
  })

  test('one driver in two entries gets both messages', async () => {
    const [driver] = two()
    const { notifier } = emitting({
      notifier: { drivers: [{ driver }, { driver, when: { event_type: 'a' } }] },
    })
    expect((await notifier.info('a', {})).results).toHaveLength(2)
    await notifier.close()
    expect(driver.closes).toBe(1)
  })
})

describe('a driver that is not required', () => {
  const optional = () => {
    const [main, side] = two(['main', 'side'])
    side.reply = 'hold'
    return {
      main,
      side,
      ...emitting({ notifier: { drivers: [{ driver: main }, { driver: side, required: false }] } }),
    }
  }

  test('is not waited for, and may still be pending in the receipt', async () => {
    const { notifier, side, clock } = optional()
    expect((await notifier.info('a', {})).results).toMatchObject([
      { driver: 'main', status: 'confirmed' },
      { driver: 'side', status: 'pending' },
    ])
    expect(notifier.stats()).toMatchObject({
      confirmed: 1,
      pending: 0,
      drivers: [{ pending: 0 }, { pending: 1 }],
    })
    side.confirm()
    await clock.settle()
    expect(notifier.stats()).toMatchObject({ confirmed: 1, drivers: [{}, { confirmed: 1, pending: 0 }] })
  })

  test('tells its failures to onFailure alone, once per emit, whatever the topics and whoever asked', async () => {
    const { clock, failures, notifier, side } = optional()
    const receipt = await notifier.info('a', {}, { topics: ['one', 'two', 'three'] })
    side.fail(trouble('FORBIDDEN'))
    await clock.settle()
    expect(failures).toMatchObject([{ code: 'FORBIDDEN', receipt: { message_id: receipt.message_id } }])
    expect(failures[0]?.receipt?.results.map(({ driver, status }) => `${driver} ${status}`)).toEqual(
      ['main', 'main', 'main', 'side', 'side', 'side'].map(
        (driver) => `${driver} ${driver === 'main' ? 'confirmed' : 'failed'}`,
      ),
    )
    expect(notifier.stats()).toMatchObject({
      confirmed: 1,
      failed: 0,
      drivers: [{ confirmed: 3 }, { failed: 3 }],
    })
  })

  test('ends at the deadline of its emit', async () => {
    const { clock, failures, notifier } = optional()
    await notifier.info('a', {})
    await clock.advance(60_000)
    expect(failures).toMatchObject([{ code: 'DEADLINE' }])
    expect(notifier.stats()).toMatchObject({ confirmed: 1, drivers: [{}, { failed: 1, pending: 0 }] })
  })

  test('is waited for by flush and close', async () => {
    const { clock, notifier, side } = optional()
    await notifier.info('a', {})
    let flushed = false
    void notifier.flush().then(() => {
      flushed = true
    })
    await clock.settle()
    expect(flushed).toBe(false)
    side.confirm()
    await clock.settle()
    expect(flushed).toBe(true)
  })

  test('decides where no other matches', async () => {
    const [main, side] = two(['main', 'side'])
    side.reply = trouble('FORBIDDEN')
    const { clock, failures, notifier } = emitting({
      notifier: {
        drivers: [
          { driver: main, when: { priorities: ['ERROR'] } },
          { driver: side, required: false },
        ],
      },
    })
    await expect(notifier.info('a', {})).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(notifier.error('a', {})).resolves.toMatchObject({
      results: [{ status: 'confirmed' }, { driver: 'side' }],
    })
    await clock.settle()
    expect(failures).toMatchObject([{ code: 'FORBIDDEN' }])
    expect(notifier.stats()).toMatchObject({ confirmed: 1, failed: 1 })
  })

  test('a payload that its codec cannot encode fails there alone', async () => {
    const [main, side] = two(['main', 'side'])
    const codec = {
      ...jsonCodec(),
      encode: (): never => {
        throw new Error('not me')
      },
    }
    const { clock, failures, notifier } = emitting({
      notifier: { drivers: [{ driver: main }, { driver: side, codec, required: false }] },
    })
    await expect(notifier.info('a', {})).resolves.toMatchObject({
      results: [{ status: 'confirmed' }, { driver: 'side', attempts: 0 }],
    })
    await clock.settle()
    expect(failures).toMatchObject([{ reason: 'payload-encode' }])
  })
})
