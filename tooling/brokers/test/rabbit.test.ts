import { existsSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { afterAll, describe, expect, type TestContext, test } from 'vitest'
import { eventually, openProxy, orSkip, type RabbitBroker, rabbitOracle, start } from '../src/index.ts'
import { amqp, publish, queueName } from './amqp.ts'

const tags = ['broker']
const QUORUM = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
/** What a quorum queue has to be, before a kill, to keep what it confirmed: measured, on 4.0 as on others. */
const GROWN_MS = 2_000
const BASIC_PUBLISH = '\x00\x3c\x00\x28'
const BASIC_ACK = '\x00\x3c\x00\x50'

let started: Promise<RabbitBroker> | undefined
function rabbit(context: TestContext): Promise<RabbitBroker> {
  started ??= start('rabbit')
  return orSkip(context, started)
}
afterAll(async () => {
  const broker = await started?.catch(() => undefined)
  await broker?.stop()
})

describe('a RabbitMQ of one’s own', { tags }, () => {
  test('answers: a queue, a confirm, and the oracle reads what came', async (context) => {
    const broker = await rabbit(context)
    const oracle = rabbitOracle(broker.url)
    const queue = queueName('answers')
    expect(await oracle.exists(queue)).toBe(false)
    const { channel } = await amqp(context, broker.url)
    await channel.assertQueue(queue, QUORUM)
    for (const id of ['a', 'b', 'c']) await publish(channel, queue, id)
    expect([await oracle.exists(queue), await oracle.count(queue), await oracle.consumers(queue)]).toEqual([
      true,
      3,
      0,
    ])
    const left = await oracle.read(queue, { leave: true })
    expect(left.map(({ id, redelivered }) => [id, redelivered])).toEqual([
      ['a', false],
      ['b', false],
      ['c', false],
    ])
    await eventually(async () => (await oracle.count(queue)) === 3)
    const taken = await oracle.read(queue)
    expect(taken.map(({ id, body, redelivered }) => [id, body.toString(), redelivered])).toEqual([
      ['a', 'body of a', true],
      ['b', 'body of b', true],
      ['c', 'body of c', true],
    ])
    expect(await oracle.count(queue)).toBe(0)
    await oracle.remove(queue)
    expect(await oracle.exists(queue)).toBe(false)
    await expect(oracle.count(queue)).rejects.toThrow(`no queue ${queue}`)
    expect(broker.version).toMatch(/^\d+\.\d+\.\d+$/)
    expect(await broker.ctl('eval', '1 + 1.')).toBe('2\n')
  })

  test('killed, it ends by SIGKILL within a second, and what it confirmed is there when it is back', async (context) => {
    const broker = await rabbit(context)
    const queue = queueName('survives')
    const { channel, closed } = await amqp(context, broker.url)
    await channel.assertQueue(queue, QUORUM)
    await sleep(GROWN_MS)
    await publish(channel, queue, 'kept')
    const { pid } = broker
    const called = performance.now()
    const exit = broker.kill()
    expect(await exit).toEqual({ code: null, signal: 'SIGKILL' })
    expect(performance.now() - called).toBeLessThan(1_000)
    expect([broker.pid, existsSync(`/proc/${pid}`)]).toEqual([undefined, false])
    await closed
    await expect(connect(broker.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    await broker.restart()
    expect(broker.pid).not.toBe(pid)
    const [stored] = await rabbitOracle(broker.url).read(queue)
    expect(stored?.id).toBe('kept')
  })

  test('terminated, it ends in good order, and is back with its data', async (context) => {
    const broker = await rabbit(context)
    const queue = queueName('stays')
    const { channel, closed } = await amqp(context, broker.url)
    await channel.assertQueue(queue, { durable: true })
    await publish(channel, queue, 'kept')
    const exit = broker.terminate()
    expect(await closed).toMatchObject({ code: 320 })
    expect(await exit).toEqual({ code: 0, signal: null })
    await broker.restart()
    expect(await rabbitOracle(broker.url).count(queue)).toBe(1)
  })

  test('paused, it and its helpers stand still and nothing answers; resumed, everything does', async (context) => {
    const broker = await rabbit(context)
    const queue = queueName('silent')
    const { channel } = await amqp(context, broker.url)
    await channel.assertQueue(queue, { durable: true })
    broker.pause()
    await eventually(() => stateOf(broker.pid) === 'T')
    let confirmed = false
    const confirm = publish(channel, queue, 'late').then(() => {
      confirmed = true
    })
    await expect(connect(broker.url, { timeout: 300 })).rejects.toThrow('ETIMEDOUT')
    expect(confirmed).toBe(false)
    broker.resume()
    await confirm
    expect(stateOf(broker.pid)).not.toBe('T')
  })

  test('in alarm it blocks who publishes, and lets go when it is over', async (context) => {
    const broker = await rabbit(context)
    const queue = queueName('alarm')
    const { connection, channel } = await amqp(context, broker.url)
    await channel.assertQueue(queue, { durable: true })
    const events: string[] = []
    const blocked = new Promise((resolve) => connection.once('blocked', resolve))
    connection.on('blocked', () => events.push('blocked')).on('unblocked', () => events.push('unblocked'))
    await broker.faults.alarm()
    const confirm = publish(channel, queue, 'waits').then(() => events.push('confirmed'))
    expect(await blocked).toMatch(/memory/)
    expect(await rabbitOracle(broker.url).count(queue)).toBe(0)
    await broker.faults.clearAlarm()
    await confirm
    expect(events).toEqual(['blocked', 'unblocked', 'confirmed'])
  })

  test('refuses a user, and takes him back', async (context) => {
    const broker = await rabbit(context)
    const { channel } = await amqp(context, broker.url)
    await broker.faults.refuseUser()
    await expect(connect(broker.url)).rejects.toThrow('403')
    await channel.assertQueue(queueName('in'), { autoDelete: true, durable: true })
    await broker.faults.revoke()
    await expect(channel.assertQueue(queueName('out'))).rejects.toMatchObject({ code: 403 })
    await broker.faults.allowUser()
    await broker.faults.grant()
    await amqp(context, broker.url)
  })

  test('does what an administrator does: policies, deleted queues, closed connections', async (context) => {
    const broker = await rabbit(context)
    const oracle = rabbitOracle(broker.url)
    const queue = queueName('ruled')
    const { channel, closed } = await amqp(context, broker.url)
    await channel.assertQueue(queue, { durable: true })
    await publish(channel, queue, 'fits')
    await broker.faults.policy('full', `^${queue}$`, { 'max-length': 1, overflow: 'reject-publish' })
    await eventually(async () => {
      const refused = await publish(channel, queue, 'too much').then(() => undefined, String)
      return refused === 'Error: message nacked'
    })
    await broker.faults.clearPolicy('full')
    await broker.faults.deleteQueue(queue)
    expect(await oracle.exists(queue)).toBe(false)
    await broker.faults.closeConnections('for a test')
    expect(await closed).toMatchObject({ code: 320, message: expect.stringContaining('for a test') })
  })

  test('behind a proxy that eats the answer, it has what the client never heard of', async (context) => {
    const broker = await rabbit(context)
    const proxy = await openProxy(broker)
    context.onTestFinished(() => proxy.close())
    const queue = queueName('eaten')
    const { channel, closed } = await amqp(context, proxy.through(broker.url))
    await channel.assertQueue(queue, { durable: true })
    const published = proxy.up.watch(BASIC_PUBLISH)
    const acknowledged = proxy.down.watch(BASIC_ACK)
    await publish(channel, queue, 'heard')
    const eaten = proxy.down.cutBefore(BASIC_ACK)
    await expect(publish(channel, queue, 'unheard')).rejects.toThrow('channel closed')
    await eaten
    expect(await closed).toMatchObject({ code: 'ECONNRESET' })
    expect([published.count, acknowledged.count]).toEqual([2, 1])
    const stored = await rabbitOracle(broker.url).read(queue)
    expect(stored.map(({ id }) => id)).toEqual(['heard', 'unheard'])
  })
})

/** `T` is stopped. */
function stateOf(pid: number | undefined): string | undefined {
  return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.[0]
}
