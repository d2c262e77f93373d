import { createServer } from 'node:net'
import { isNotifyError, type Status } from '@notify/core'
import { expect, test } from 'vitest'
import { type AcmeOptions, acme } from '../src/index.ts'
import {
  consume,
  destinationOf,
  eventually,
  ORDERS,
  outbound,
  placeFor,
  publish,
  send,
  textOf,
  within,
} from './support.ts'

const LOST = { code: 'UNAVAILABLE', retryable: true, maybeSent: true, scope: 'transport' }

test('what is published is delivered, and gone when it is acknowledged', async (context) => {
  const { broker, driver } = await placeFor(context)
  const message = outbound({ id: 'id-1', headers: { tenant: 'a' }, key: 'k' })
  expect(await publish(driver(), message)).toEqual(['confirmed'])
  const [delivery] = await (await consume(driver())).has(1)
  expect(delivery).toMatchObject({
    destination: ORDERS,
    headers: { tenant: 'a' },
    key: 'k',
    contentType: 'text/plain',
    deliveries: 1,
  })
  expect(await delivery?.ack()).toBe(true)
  expect(await delivery?.requeue()).toBe(false)
  expect(await broker.ask({ do: 'count', to: ORDERS.name })).toEqual({ count: 0 })
})

test('killed at a confirm, the broker has all that was confirmed', async (context) => {
  const { broker, driver } = await placeFor(context)
  const publishing = driver()
  const batch = Array.from({ length: 500 }, () => outbound())
  const confirmed: string[] = []
  let killed: Promise<void> | undefined
  const done = Promise.withResolvers<void>()
  let open = batch.length
  publishing.publish(
    batch,
    ({ id }, failure) => {
      if (failure === undefined) confirmed.push(id)
      else expect(failure).toMatchObject(LOST)
      killed ??= broker.kill()
      if (--open === 0) done.resolve()
    },
    within(10_000),
  )
  await done.promise
  await killed
  await broker.start()
  const { messages = [] } = await broker.ask({ do: 'list', to: ORDERS.name })
  const stored = new Set(messages.map((message) => (message as { id: string }).id))
  expect(confirmed.filter((id) => !stored.has(id))).toEqual([])
  expect(confirmed.length).toBeGreaterThan(0)
  expect(await publish(publishing, outbound())).toEqual(['confirmed'])
})

test('an abort ends what waits for its answer, and says that it may be there', async (context) => {
  const { broker, driver } = await placeFor(context)
  const publishing = driver()
  await publish(publishing, outbound())
  broker.pause()
  const abort = new AbortController()
  const { settled, outcomes } = send(publishing, [outbound()], within(10_000, abort.signal))
  abort.abort({ code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' })
  expect(settled.size).toBe(1)
  expect(await outcomes).toMatchObject([{ code: 'ABORTED', maybeSent: true }])
})

test('what was aborted before there was a connection is never sent', async (context) => {
  const { broker, driver } = await placeFor(context)
  broker.pause()
  const publishing = driver()
  const abort = new AbortController()
  const { outcomes } = send(publishing, [outbound()], within(10_000, abort.signal))
  abort.abort({ code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' })
  expect(await outcomes).toMatchObject([{ code: 'ABORTED', maybeSent: false }])
  broker.resume()
  const last = outbound({ id: 'last' })
  expect(await publish(publishing, last)).toEqual(['confirmed'])
  const { messages } = await broker.ask({ do: 'list', to: ORDERS.name })
  expect(messages).toMatchObject([{ id: 'last' }])
})

test('what a broker that reads no more has not been sent is not held for it', async (context) => {
  const { broker, driver } = await placeFor(context)
  const publishing = driver()
  await publish(publishing, outbound())
  broker.pause()
  const abort = new AbortController()
  const body = new Uint8Array(2 ** 20 - 100)
  const calls = Array.from({ length: 64 }, () =>
    send(publishing, [outbound({ body })], within(10_000, abort.signal)),
  )
  abort.abort({ code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' })
  const outcomes = (await Promise.all(calls.map((call) => call.outcomes))).flat()
  const notSent = outcomes.filter((outcome) => outcome !== 'confirmed' && !outcome.maybeSent)
  expect(notSent.length).toBeGreaterThan(32)
  broker.resume()
  expect(await publish(publishing, outbound())).toEqual(['confirmed'])
  expect(await broker.ask({ do: 'count', to: ORDERS.name })).toEqual({ count: 66 - notSent.length })
})

test('a loss ends subscriptions with its reason; what was open settles false, and comes back counted', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  await publish(working, outbound())
  const inbox = await consume(working)
  const [first] = await inbox.has(1)
  await broker.kill()
  expect(await inbox.subscription.ended).toMatchObject({ code: 'UNAVAILABLE', retryable: true })
  expect(await first?.ack()).toBe(false)
  await broker.start()
  const [again] = await (await consume(working)).has(1)
  expect(again?.deliveries).toBe(2)
})

test('after pause nothing is delivered, settling works, and close gives back the rest', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  const inbox = await consume(working, { prefetch: 2 })
  await publish(working, outbound(), outbound())
  const [first] = await inbox.has(2)
  await inbox.subscription.pause()
  await publish(working, outbound())
  expect(await first?.ack()).toBe(true)
  expect(inbox.deliveries).toHaveLength(2)
  await inbox.subscription.close(within(5_000))
  expect(await inbox.subscription.ended).toBeUndefined()
  expect(await broker.ask({ do: 'consumers', to: ORDERS.name })).toEqual({ count: 0 })
  expect(await broker.ask({ do: 'count', to: ORDERS.name })).toEqual({ count: 2 })
  expect(inbox.deliveries).toHaveLength(2)
})

test('a group begins with its first subscribe, and is kept', async (context) => {
  const { driver } = await placeFor(context)
  const working = driver()
  await publish(working, outbound({ id: 'before' }))
  const billing = await consume(working, { group: 'billing' })
  await billing.subscription.close(within(5_000))
  await publish(working, outbound({ id: 'after' }))
  const again = await consume(working, { group: 'billing' })
  expect((await again.has(1)).map(textOf)).toEqual(['after'])
  expect((await (await consume(working)).has(2)).map(textOf)).toEqual(['before', 'after'])
})

test('groups that are named in the options get what is published before they come; dead topics have none', async (context) => {
  const { broker, driver } = await placeFor(context)
  const dead = destinationOf('orders.dead')
  const publishing = driver({ groups: ['billing'] })
  expect(await publish(publishing, outbound())).toEqual(['confirmed'])
  expect(await publish(publishing, outbound({ destination: dead }))).toEqual(['confirmed'])
  expect(await broker.ask({ do: 'count', to: ORDERS.name, group: 'billing' })).toEqual({ count: 1 })
  expect(await broker.ask({ do: 'count', to: dead.name })).toEqual({ count: 1 })
})

test.for(['check', 'none'] as const)(
  'topology %s: what is missing is UNROUTABLE, until it is there',
  async (topology, context) => {
    const { broker, driver } = await placeFor(context)
    const working = driver({ topology })
    const missing = { code: 'UNROUTABLE', retryable: false, maybeSent: false, scope: 'destination' }
    expect(await publish(working, outbound())).toMatchObject([missing])
    await expect(consume(working)).rejects.toMatchObject(missing)
    await broker.ask({ do: 'declare', to: ORDERS.name, groups: [null] })
    expect(await publish(working, outbound())).toEqual(['confirmed'])
  },
)

test('a full destination refuses, one message after the other', async (context) => {
  const { broker, driver } = await placeFor(context)
  const publishing = driver()
  await publish(publishing, outbound())
  await broker.ask({ do: 'limit', to: ORDERS.name, most: 2 })
  expect(await publish(publishing, outbound(), outbound())).toMatchObject([
    'confirmed',
    { code: 'THROTTLED', reason: 'queue-full', maybeSent: false, scope: 'destination' },
  ])
})

test('in one call only those fail that are at fault', async (context) => {
  const { driver } = await placeFor(context)
  const outcomes = await publish(
    driver({ maxMessageBytes: 1_000 }),
    outbound(),
    outbound({ body: new Uint8Array(1_001) }),
    outbound({ headers: { 'a\nb': 'c' } }),
    outbound({ headers: { a: '\ud800' } }),
    outbound(),
  )
  expect(outcomes).toMatchObject([
    'confirmed',
    { code: 'TOO_LARGE' },
    { code: 'INVALID' },
    { code: 'INVALID' },
    'confirmed',
  ])
})

test('the alarm is told, to who comes late as well; health says no; it ends', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  const told: Status[] = []
  working.observe((status) => told.push(status))
  await publish(working, outbound())
  await broker.ask({ do: 'block' })
  await eventually(() => told.length === 1)
  const late: Status[] = []
  working.observe((status) => late.push(status))()
  expect([told, late]).toEqual([[{ state: 'blocked' }], [{ state: 'blocked' }]])
  expect(await working.health(within(5_000))).toMatchObject({ ok: false, failure: { reason: 'blocked' } })
  // One that connects only now.
  expect(await driver().health(within(5_000))).toMatchObject({ ok: false, failure: { reason: 'blocked' } })
  expect(await publish(working, outbound())).toMatchObject([{ code: 'THROTTLED', scope: 'transport' }])
  await broker.ask({ do: 'unblock' })
  await eventually(() => told.length === 2)
  expect(told[1]).toEqual({ state: 'up' })
  expect(await working.health(within(5_000))).toEqual({ ok: true, warnings: [] })
})

test('a loss is told, and that it is over', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  const told: string[] = []
  working.observe(({ state }) => told.push(state))
  await publish(working, outbound())
  await broker.kill()
  await eventually(() => told.includes('down'))
  expect(await publish(working, outbound())).toMatchObject([{ code: 'UNAVAILABLE', maybeSent: false }])
  await broker.start()
  expect(await publish(working, outbound())).toEqual(['confirmed'])
  expect(told).toEqual(['down', 'up'])
})

test('a wrong password is UNAUTHENTICATED, and in no failure', async (context) => {
  const { driver } = await placeFor(context, { password: 'right' })
  expect(await publish(driver(), outbound())).toEqual(['confirmed'])
  const [outcome] = await publish(driver({ password: 'opensesame' }), outbound())
  expect(outcome).toMatchObject({ code: 'UNAUTHENTICATED', retryable: false, scope: 'transport' })
  expect(JSON.stringify(outcome)).not.toContain('opensesame')
})

test('what answers in another language ends the attempt, and hears nothing of itself', async (context) => {
  const echo = createServer((socket) => socket.on('error', () => {}).pipe(socket))
  await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  context.onTestFinished(() => void echo.close())
  const { port } = echo.address() as { port: number }
  const driver = acme({ port, password: 'opensesame' })
  const [outcome] = await publish(driver, outbound())
  expect(outcome).toMatchObject({ code: 'UNAVAILABLE', reason: 'protocol', maybeSent: false })
  expect(JSON.stringify(outcome)).not.toContain('opensesame')
  await driver.close(within(1_000))
})

test('a broker that falls silent is taken for lost, and so is one that never says a word', {
  tags: ['slow'],
}, async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver({ silenceMs: 1_000 })
  const { subscription } = await consume(working)
  broker.pause()
  expect(await subscription.ended).toMatchObject({ code: 'UNAVAILABLE', reason: 'silent' })
  const [outcome] = await publish(working, outbound())
  expect(outcome).toMatchObject({ code: 'UNAVAILABLE', reason: 'silent', maybeSent: false })
})

test('close settles what is pending and leaves nothing', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  const { subscription } = await consume(working)
  await publish(working, outbound())
  broker.pause()
  const { outcomes } = send(working, [outbound()])
  const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length
  await Promise.all([working.close(within(50)), working.close(within(50))])
  expect(await outcomes).toMatchObject([{ code: 'CLOSED', maybeSent: true }])
  expect(await subscription.ended).toBeUndefined()
  await eventually(() => sockets() === 0)
  expect(await publish(working, outbound())).toMatchObject([{ code: 'CLOSED', maybeSent: false }])
  await expect(consume(working)).rejects.toMatchObject({ code: 'CLOSED' })
  expect(await working.health(within(50))).toMatchObject({ ok: false, failure: { code: 'CLOSED' } })
})

test('a subscribe that is aborted leaves no consumer', async (context) => {
  const { broker, driver } = await placeFor(context)
  const working = driver()
  await publish(working, outbound())
  broker.pause()
  const abort = new AbortController()
  const call = { ...within(10_000, abort.signal), prefetch: 1 }
  const seen: unknown[] = []
  const opening = working.subscribe({ destination: ORDERS }, (delivery) => seen.push(delivery), call)
  abort.abort({ code: 'ABORTED', retryable: false, maybeSent: false, scope: 'message' })
  await expect(opening).rejects.toMatchObject({ code: 'ABORTED' })
  broker.resume()
  expect(await working.health(within(5_000))).toMatchObject({ ok: true })
  expect(await broker.ask({ do: 'consumers', to: ORDERS.name })).toEqual({ count: 0 })
  expect(seen).toEqual([])
})

test.each([
  [{ hots: 'x' }, /no option "hots".* "host"/],
  [{ host: '' }, /host/],
  [{ port: 0 }, /port/],
  [{ topology: 'make' }, /topology/],
  [{ groups: [] }, /groups/],
  [{ groups: ['a\nb'] }, /groups/],
  [{ maxMessageBytes: 0 }, /maxMessageBytes/],
  [{ silenceMs: 1.5 }, /silenceMs/],
])('%j is refused where it is written', (options, message) => {
  let thrown: unknown
  try {
    acme(options as AcmeOptions)
  } catch (error) {
    thrown = error
  }
  expect(isNotifyError(thrown) && thrown.code === 'INVALID' && thrown.message).toMatch(message)
})
