import type { Delivery } from '@notify/core'
import { describe, expect, test } from 'vitest'
import { type MemoryDriver, memory } from '../src/index.ts'
import { acknowledging, CALL, code, destination, publishBodies, range, subscribe, turns } from './support.ts'

const INFO = destination().name

describe('consuming', () => {
  test('the default group keeps what is published before any consumer', async () => {
    const driver = memory()
    await publishBodies(driver, ['a', 'b'])
    const inbox = await subscribe(driver)
    await inbox.reaches(2)
    expect(inbox.texts).toEqual(['a', 'b'])
  })

  test('a named group begins when its first subscribe resolves, keeps what comes without a member, and gets all', async () => {
    const driver = memory()
    await publishBodies(driver, ['before'])
    const first = await subscribe(driver, { group: 'billing', onDelivery: acknowledging })
    const other = await subscribe(driver, { group: 'audit' })
    await publishBodies(driver, ['a'])
    await first.reaches(1)
    await first.close(CALL)
    await publishBodies(driver, ['b'])
    const second = await subscribe(driver, { group: 'billing' })
    await second.reaches(1)
    await other.reaches(2)
    expect([first.texts, second.texts, other.texts]).toEqual([['a'], ['b'], ['a', 'b']])
  })

  test('from earliest gives a new group the history, within its bound, and no group twice', async () => {
    const driver = memory({ history: 3 })
    await publishBodies(driver, range(5))
    const inbox = await subscribe(driver, { group: 'late', from: 'earliest', onDelivery: acknowledging })
    await inbox.reaches(3)
    expect(inbox.texts).toEqual(['2', '3', '4'])
    await inbox.close(CALL)
    const again = await subscribe(driver, { group: 'late', from: 'earliest' })
    await publishBodies(driver, ['new'])
    await again.reaches(1)
    expect(again.texts).toEqual(['new'])
  })

  test('what the capabilities rule out is refused, and changes nothing', async () => {
    const driver = memory({ history: 0 })
    expect(await code(subscribe(driver, { group: 'g', from: 'earliest' }))).toBe('UNSUPPORTED')
    expect(driver.native().consumers(INFO, 'g')).toBe(0)
    await publishBodies(driver, ['a'])
    const inbox = await subscribe(driver)
    await inbox.reaches(1)
    const tooLong = { delayMs: (driver.capabilities.delay as { maxMs: number }).maxMs + 1 }
    expect(await code(inbox.deliveries[0]?.requeue(tooLong) as Promise<unknown>)).toBe('UNSUPPORTED')
    expect(await inbox.deliveries[0]?.ack()).toBe(true)
  })

  test('publishers can declare for whom they publish, and dead letters stay with the default group', async () => {
    const driver = memory({ groups: [null, 'billing'] })
    const only = memory({ groups: ['billing'] })
    for (const each of [driver, only]) {
      await publishBodies(each, ['a'])
      await publishBodies(each, ['a'], destination('notifications.dead'))
    }
    const counts = (each: MemoryDriver) => [
      each.native().count(INFO),
      each.native().count(INFO, 'billing'),
      each.native().count('notifications.dead.info'),
      each.native().count('notifications.dead.info', 'billing'),
    ]
    expect([counts(driver), counts(only)]).toEqual([
      [1, 1, 1, 0],
      [0, 1, 1, 0],
    ])
  })

  test('members of a group share in turns, without overlap', async () => {
    const driver = memory()
    const members = await Promise.all([1, 2, 3].map(() => subscribe(driver, { onDelivery: acknowledging })))
    await publishBodies(driver, range(30))
    await driver.idle()
    expect(members.map(({ texts }) => texts.length)).toEqual([10, 10, 10])
    expect(members.flatMap(({ texts }) => texts).sort()).toEqual(range(30).sort())
  })

  test('a member that settles nothing holds its prefetch and no more; another gets the rest', async () => {
    const driver = memory()
    await publishBodies(driver, range(1_000))
    const hoarder = await subscribe(driver, { prefetch: 7 })
    const worker = await subscribe(driver, { prefetch: 3, onDelivery: acknowledging })
    await worker.reaches(993)
    await turns()
    expect([hoarder.texts.length, worker.texts.length]).toEqual([7, 993])
    await hoarder.deliveries[0]?.ack()
    await publishBodies(driver, ['x', 'y'])
    await turns()
    expect(hoarder.texts.length + worker.texts.length).toBe(1_002)
  })

  test('ack is true and removes for good', async () => {
    const driver = memory()
    const inbox = await subscribe(driver)
    await publishBodies(driver, ['a'])
    await inbox.reaches(1)
    expect(driver.native().count(INFO)).toBe(1)
    expect(await inbox.deliveries[0]?.ack()).toBe(true)
    expect(driver.native().count(INFO)).toBe(0)
    await inbox.close(CALL)
    const next = await subscribe(driver)
    await turns()
    expect(next.texts).toEqual([])
  })

  test('a second settle is harmless and changes nothing', async () => {
    const driver = memory()
    const inbox = await subscribe(driver, { prefetch: 1 })
    await publishBodies(driver, ['a', 'b'])
    await inbox.reaches(1)
    const [a] = inbox.deliveries as [Delivery]
    expect([await a.requeue(), await a.requeue(), await a.ack()]).toEqual([true, true, false])
    await inbox.reaches(2)
    expect([await a.ack(), driver.native().count(INFO)]).toEqual([false, 2])
    const again = inbox.deliveries[1] as Delivery
    expect([await again.ack(), await again.ack(), await again.requeue()]).toEqual([true, true, false])
    await inbox.reaches(3)
    expect(inbox.texts).toEqual(['a', 'a', 'b'])
  })

  test('what is given back takes its old place, and its count of deliveries grows', async () => {
    const driver = memory()
    await publishBodies(driver, range(5))
    const first = await subscribe(driver, { prefetch: 3 })
    await first.reaches(3)
    for (const index of [2, 0]) await first.deliveries[index]?.requeue()
    await first.close(CALL)
    expect(await first.deliveries[1]?.ack()).toBe(false)
    const second = await subscribe(driver)
    await second.reaches(5)
    expect(second.texts).toEqual(range(5))
    expect(second.deliveries.map(({ deliveries }) => deliveries)).toEqual([3, 2, 3, 1, 1])
  })

  test('many requeues, then a healthy consumer gets all', async () => {
    const driver = memory()
    await publishBodies(driver, range(200))
    let left = 2_000
    const sick = await subscribe(driver, {
      prefetch: 50,
      onDelivery: (delivery) => {
        if (left-- > 0) void delivery.requeue()
      },
    })
    await sick.reaches(2_000)
    await sick.close(CALL)
    const healthy = await subscribe(driver, { onDelivery: acknowledging })
    await healthy.reaches(200)
    expect(healthy.texts).toEqual(range(200))
    expect(driver.native().count(INFO)).toBe(0)
  })

  test('a delayed requeue comes not early, counts on, and survives its consumer', async () => {
    const driver = memory()
    await publishBodies(driver, ['a'])
    const inbox = await subscribe(driver)
    await inbox.reaches(1)
    const since = performance.now()
    await inbox.deliveries[0]?.requeue({ delayMs: 30 })
    await inbox.reaches(2)
    expect(performance.now() - since).toBeGreaterThanOrEqual(30)
    expect(inbox.deliveries[1]?.deliveries).toBe(2)
    await inbox.deliveries[1]?.requeue({ delayMs: 10 })
    await inbox.close(CALL)
    const next = await subscribe(driver)
    await next.reaches(1)
    expect(next.deliveries[0]?.deliveries).toBe(3)
    expect(await next.deliveries[0]?.ack()).toBe(true)
    expect(driver.native().messages(INFO)).toEqual([])
  })

  test('no delivery from within ack or requeue, and none recursively', async () => {
    const driver = memory()
    await publishBodies(driver, range(20_000).slice(0, 1_000))
    let inside = 0
    let depth = 0
    const broken: string[] = []
    const inbox = await subscribe(driver, {
      prefetch: 2,
      onDelivery: (delivery) => {
        if (inside > 0 || depth > 0) broken.push(String(delivery.deliveries))
        depth++
        inside++
        void (delivery.deliveries === 1 ? delivery.requeue() : delivery.ack())
        inside--
        depth--
      },
    })
    await inbox.reaches(2_000)
    expect(broken).toEqual([])
  })

  test('no delivery after pause has resolved; settling still works; others go on', async () => {
    const driver = memory()
    await publishBodies(driver, range(10))
    const paused = await subscribe(driver, { prefetch: 2 })
    await paused.reaches(2)
    await paused.pause()
    expect(await paused.deliveries[0]?.ack()).toBe(true)
    expect(await paused.deliveries[1]?.requeue()).toBe(true)
    const other = await subscribe(driver)
    await other.reaches(9)
    expect(paused.texts.length).toBe(2)
  })

  test('closing one subscription, even under a fired signal, loses nothing and spares its siblings', async () => {
    const driver = memory()
    const [one, two] = [await subscribe(driver, { prefetch: 5 }), await subscribe(driver, { prefetch: 20 })]
    await publishBodies(driver, range(10))
    await one.reaches(5)
    const signal = AbortSignal.abort({
      code: 'ABORTED',
      retryable: false,
      maybeSent: false,
      scope: 'message',
    })
    await one.close({ timeoutMs: 0, signal })
    await two.reaches(10)
    expect([...two.texts].sort()).toEqual(range(10))
    expect(await one.ended).toBeUndefined()
  })

  test('raw messages arrive as bytes and string headers, and the next one comes', async () => {
    const driver = memory()
    const broker = driver.native()
    broker.declare(INFO)
    const to = { name: INFO }
    broker.put({ destination: to })
    broker.put({
      destination: to,
      headers: { n: 1, yes: true, none: null, table: { a: [1] }, big: 'x'.repeat(65_536) },
    })
    broker.put({ destination: to, headers: JSON.parse('{"__proto__": {"polluted": 1}, "no space": "x"}') })
    await publishBodies(driver, ['next'])
    const inbox = await subscribe(driver)
    await inbox.reaches(4)
    expect(inbox.deliveries[0]).toMatchObject({ headers: {}, deliveries: 1 })
    expect(inbox.deliveries[0]?.body).toEqual(new Uint8Array())
    expect(inbox.deliveries[1]?.headers).toEqual({
      n: '1',
      yes: 'true',
      none: '',
      table: '{"a":[1]}',
      big: 'x'.repeat(65_536),
    })
    expect(inbox.deliveries[2]?.headers).toEqual({})
    expect(Object.prototype).not.toHaveProperty('polluted')
    expect(inbox.texts[3]).toBe('next')
  })

  test('a million messages wait, and taking one costs what it costs when few wait', {
    tags: ['slow'],
  }, async () => {
    const cost = async (count: number) => {
      const driver = memory({ deduplication: false, record: 0, history: 0 })
      const { declare, put, count: held } = driver.native()
      declare(INFO)
      const body = new Uint8Array(8)
      for (let index = 0; index < count; index++) put({ destination: { name: INFO }, body })
      const since = performance.now()
      let left = 20_000
      const inbox = await subscribe(driver, {
        prefetch: 100,
        // Half of them go back to the front first.
        onDelivery: (delivery) => {
          if (left-- > 0)
            void (delivery.deliveries === 1 && left % 2 === 0 ? delivery.requeue() : delivery.ack())
        },
      })
      await inbox.reaches(20_000)
      expect(held(INFO)).toBeGreaterThan(count - 20_000)
      return (performance.now() - since) / 20_000
    }
    const few = await cost(30_000)
    const many = await cost(1_000_000)
    // An array's shift makes it more than a hundredfold.
    expect(many / few).toBeLessThan(10)
  })

  test('a publisher that waits for its answers does not outrun a consumer that keeps up', async () => {
    const driver = memory()
    await subscribe(driver, { prefetch: 10, onDelivery: acknowledging })
    let most = 0
    for (let call = 0; call < 20; call++) {
      await publishBodies(driver, range(1_000))
      most = Math.max(most, driver.native().count(INFO))
    }
    expect(most).toBeLessThan(3_000)
  })

  test('a busy broker lets the host breathe', async () => {
    const driver = memory()
    await publishBodies(driver, range(1_000))
    let timer = false
    setTimeout(() => {
      timer = true
    }, 0)
    let deliveries = 0
    const inbox = await subscribe(driver, {
      prefetch: 10,
      onDelivery: (delivery) => {
        deliveries++
        // For ever, but for the timer; the bound is for a broker that never lets it in.
        void (timer || deliveries > 500_000 ? delivery.ack() : delivery.requeue())
      },
    })
    await driver.idle()
    expect(deliveries).toBeLessThan(500_000)
    await inbox.close(CALL)
  })
})
