/** What the result of a case says, and what it never says. */
import { describe, expect, test } from 'vitest'
import { CAPABILITIES, prove, scripted } from './support.ts'

describe('a case', () => {
  test('passes when every claim holds', async () => {
    const result = await prove({
      async prove(trial) {
        trial.confirmed(await trial.publish(await trial.open(), [trial.message(await trial.destination())]))
      },
    })
    expect(result).toMatchObject({ status: 'pass', assertions: expect.any(Number) })
    expect(result.assertions).toBeGreaterThan(0)
  })

  test('fails with the rule, the difference, and the last events of the driver', async () => {
    const result = await prove({
      async prove(trial) {
        await trial.publish(await trial.open(), [trial.message(await trial.destination())])
        trial.claims.sameIds(['a', 'a', 'x'], ['a', 'b'], 'all are there')
      },
    })
    expect(result.status).toBe('fail')
    expect(result.reason).toBe('all are there: missing 1: b; extra 1: x; another number of 1: a (2 for 1)')
    expect(result.log.join('\n')).toMatch(/publish 1 to t-01-orders-.*\.info\n.* confirmed/)
  })

  test('without a claim is an error, not a pass', async () => {
    expect(await prove({})).toMatchObject({ status: 'error', reason: 'the case passed without a claim' })
  })

  test('about what is stored that did not look there is an error, where it could', async () => {
    const read = async () => ({ all: async () => [], count: async () => 0, consumers: async () => 0 })
    const definition = {
      needs: ['stored'] as const,
      prove: async (trial: Parameters<Parameters<typeof prove>[0]['prove'] & {}>[0]) =>
        trial.check(true, 'true'),
    }
    expect(await prove(definition, { read })).toMatchObject({
      status: 'error',
      reason: expect.stringContaining('without a look'),
    })
  })

  test('that throws anything but a broken claim is an error of the suite', async () => {
    const broken = prove({
      async prove() {
        throw new TypeError('x is not a function')
      },
    })
    expect(await broken).toMatchObject({
      status: 'error',
      reason: expect.stringContaining('x is not a function'),
    })
  })

  test('whose harness cannot be loaded is an error', async () => {
    const open = () => Promise.reject(new Error('no broker'))
    expect(await prove({}, { open })).toMatchObject({
      status: 'error',
      reason: expect.stringContaining('no broker'),
    })
  })

  test('is unsupported where the driver says so, blocked where the harness lacks something', async () => {
    expect(await prove({ needs: ['groups'] })).toMatchObject({
      status: 'unsupported',
      reason: 'capabilities.groups is false',
    })
    expect(await prove({ needs: ['faults.kill'] })).toMatchObject({
      status: 'blocked',
      reason: 'the harness has no faults.kill',
    })
    expect(await prove({ needs: ['stored'] })).toMatchObject({ status: 'unsupported' })
  })

  test('that does not end in its time has failed', async () => {
    const result = await prove({ budgetMs: 50, prove: () => new Promise(() => {}) })
    expect(result).toMatchObject({ status: 'fail', reason: 'it ends within 50 ms: it did not' })
  })

  test('is skipped when it is not chosen, and when it is given up', async () => {
    expect(await prove({}, {}, AbortSignal.abort())).toMatchObject({ status: 'skipped' })
    const controller = new AbortController()
    const running = prove({ prove: () => new Promise(() => controller.abort()) }, {}, controller.signal)
    expect(await running).toMatchObject({ status: 'skipped', reason: 'given up' })
  })
})

describe('whatever a case is about', () => {
  test('a publish that throws, or rejects, is a broken promise', async () => {
    const publishOne = {
      prove: async (trial: Parameters<Parameters<typeof prove>[0]['prove'] & {}>[0]) => {
        await trial.publish(await trial.open(), [trial.message(await trial.destination())], { timeoutMs: 50 })
      },
    }
    const throws = () =>
      scripted({
        publish: () => {
          throw new Error('boom')
        },
      })
    const rejects = () => scripted({ publish: () => Promise.reject(new Error('boom')) })
    expect(await prove(publishOne, { driver: throws })).toMatchObject({
      status: 'fail',
      reason: expect.stringMatching(/publish must not throw: .*boom/),
    })
    expect(await prove(publishOne, { driver: rejects })).toMatchObject({
      status: 'fail',
      reason: expect.stringMatching(/publish must not reject: .*boom/),
    })
  })

  test('a message that is settled twice, or that is not of the call, is a broken promise', async () => {
    const confirmOne = {
      prove: async (trial: Parameters<Parameters<typeof prove>[0]['prove'] & {}>[0]) => {
        trial.confirmed(await trial.publish(await trial.open(), [trial.message(await trial.destination())]))
      },
    }
    const twice = () =>
      scripted({
        publish: (batch, settle) => [...batch, ...batch].forEach((message) => void settle(message)),
      })
    const stranger = () =>
      scripted({
        publish(batch, settle) {
          settle({ ...batch[0] } as (typeof batch)[number])
          batch.forEach((message) => void settle(message))
        },
      })
    expect(await prove(confirmOne, { driver: twice })).toMatchObject({
      status: 'fail',
      reason: expect.stringContaining('each message is settled once'),
    })
    expect(await prove(confirmOne, { driver: stranger })).toMatchObject({
      status: 'fail',
      reason: expect.stringContaining('only messages of the call are settled'),
    })
  })

  test('drivers are closed after it, also after a failure', async () => {
    let closed = 0
    const driver = () => scripted({ close: async () => void closed++ })
    await prove(
      { prove: async (trial) => trial.check((await trial.open()) === undefined, 'never') },
      { driver },
    )
    // One was opened to ask what it can do, one to measure round trips, one by the case.
    expect(closed).toBe(3)
  })

  test('calls are made as core makes them: no larger than the driver takes', async () => {
    const sizes: number[] = []
    const driver = () =>
      scripted({
        publish(batch, settle) {
          sizes.push(batch.length)
          batch.forEach((message) => void settle(message))
        },
      })
    await prove(
      {
        async prove(trial) {
          await trial.confirm(await trial.open(), trial.messages(await trial.destination(), 25))
        },
      },
      { driver },
    )
    expect(Math.max(...sizes)).toBeLessThanOrEqual(CAPABILITIES.maxBatch)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeGreaterThanOrEqual(25)
  })
})
