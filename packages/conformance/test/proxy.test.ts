import { describe, expect, test } from 'vitest'
import { openProxy, seeded } from '../src/proxy/index.ts'
import { eventually } from './eventually.ts'
import { client, echo, wire } from './wire.ts'

describe('a proxy', () => {
  test('passes everything both ways, and counts', async (context) => {
    const { proxy, server, user } = await wire(context)
    const much = 'x'.repeat(300_000)
    user.send(much)
    expect(await user.gets(much.length)).toBe(much)
    expect(server.heard()).toBe(much)
    expect([proxy.up.bytes, proxy.down.bytes, proxy.accepted, proxy.open]).toEqual([300_000, 300_000, 1, 1])
    await client(context, proxy.address)
    await eventually(() => proxy.accepted === 2 && proxy.open === 2)
  })

  test('passes the end of one direction, and then that of the other', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.socket.end('bye')
    expect(await user.gets(3)).toBe('bye')
    await eventually(() => user.ended() === 'end')
    await eventually(() => proxy.open === 0)
    expect(server.ends).toEqual(['end'])
  })

  test('tells how many clients have not ended, also while the broker says nothing to the end', async (context) => {
    const { proxy, server, user } = await wire(context)
    proxy.down.hold()
    const late = await client(context, proxy.address)
    await eventually(() => proxy.clients === 2)
    user.socket.end('bye')
    await eventually(() => proxy.clients === 1 && server.ends[0] === 'end')
    expect(proxy.open).toBe(2)
    late.socket.resetAndDestroy()
    await eventually(() => proxy.clients === 0)
    proxy.down.release()
    expect(await user.gets(3)).toBe('bye')
    await eventually(() => proxy.open === 0)
  })

  test('passes a reset as a reset', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('a')
    await user.gets(1)
    user.socket.resetAndDestroy()
    await eventually(() => server.ends.length === 1)
    expect(server.ends).toEqual(['reset'])
    await eventually(() => proxy.open === 0)
  })

  test('resets who comes while nothing listens behind it', async (context) => {
    const { address } = await echo(context)
    const proxy = await openProxy({ ...address, port: 1 })
    context.onTestFinished(() => proxy.close())
    const user = await client(context, proxy.address)
    await eventually(() => user.ended() === 'reset')
  })

  test('puts itself into a URL', async (context) => {
    const { proxy } = await wire(context)
    const url = proxy.through('amqp://guest:pa%20ss@broker.example:5672/%2f?heartbeat=5')
    expect(url).toBe(`amqp://guest:pa%20ss@127.0.0.1:${proxy.address.port}/%2f?heartbeat=5`)
  })

  test('leaves nothing open when it is closed', async (context) => {
    const { proxy, server, user } = await wire(context)
    proxy.down.hold()
    user.send('never answered')
    await eventually(() => server.heard() !== '')
    await proxy.close()
    await eventually(() => user.socket.closed && server.open() === 0)
    expect(proxy.open).toBe(0)
    await expect(client(context, proxy.address)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })
})

describe('it ends connections', () => {
  test('cut: both sides get a reset', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('a')
    await user.gets(1)
    proxy.cut()
    await eventually(() => user.ended() === 'reset' && server.ends[0] === 'reset')
    await eventually(() => proxy.open === 0)
  })

  test('finish: both sides get an end, after what is under way', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('a'.repeat(10_000))
    await user.gets(10_000)
    proxy.finish()
    await eventually(() => user.ended() === 'end' && server.ends[0] === 'end')
    await eventually(() => proxy.open === 0)
  })

  test('after the nth byte: that one goes through, and no other', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('123')
    await user.gets(3)
    const cut = proxy.up.cutAfter(4)
    user.send('456')
    await user.gets(6)
    user.send('789')
    expect(await cut).toEqual({ connection: 1, offset: 6 })
    await eventually(() => user.ended() === 'reset' && server.ends[0] === 'reset')
    expect(server.heard()).toBe('1234567')
    expect(proxy.up.bytes).toBe(7)
  })

  test('at a byte drawn by seed, the same for the same seed', async (context) => {
    const draw = async (seed: number): Promise<string> => {
      const { proxy, server, user } = await wire(context)
      const cut = proxy.up.cutAfter(seeded(seed).between(1, 1_000))
      user.send('x'.repeat(1_000))
      await cut
      await eventually(() => server.ends.length === 1)
      return server.heard()
    }
    const [first, again, other] = [await draw(7), await draw(7), await draw(8)]
    expect(again).toBe(first)
    expect(other).not.toBe(first)
  })

  test('before an answer: what was asked is done, and the answer never comes', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('one ')
    await user.gets(4)
    const eaten = proxy.down.cutBefore('DONE')
    user.send('two DO')
    await user.gets(10)
    user.send('NE three')
    expect(await eaten).toEqual({ connection: 1, offset: 10 })
    await eventually(() => user.ended() === 'reset')
    expect(server.heard()).toBe('one two DONE three')
    expect(user.text()).toBe('one two DO')
  })

  test('only the connection on which it happens', async (context) => {
    const { proxy, user } = await wire(context)
    const other = await client(context, proxy.address)
    const eaten = proxy.down.cutBefore('x')
    other.send('x')
    expect(await eaten).toMatchObject({ connection: 2 })
    await eventually(() => other.ended() === 'reset')
    user.send('still x')
    expect(await user.gets(7)).toBe('still x')
  })

  test('refuse: nobody gets in, who is in stays', async (context) => {
    const { proxy, user } = await wire(context)
    user.send('a')
    await user.gets(1)
    await proxy.refuse()
    await expect(client(context, proxy.address)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    user.send('b')
    expect(await user.gets(2)).toBe('ab')
    await proxy.accept()
    const late = await client(context, proxy.address)
    late.send('c')
    expect(await late.gets(1)).toBe('c')
  })
})

describe('it is silent', () => {
  test('hold, one direction alone: then all of it comes, in order', async (context) => {
    const { proxy, server, user } = await wire(context)
    proxy.down.hold()
    user.send('a')
    await eventually(() => server.heard() === 'a')
    user.send('b')
    user.socket.end('c')
    await eventually(() => server.heard() === 'abc' && server.ends[0] === 'end')
    expect([user.text(), user.ended()]).toEqual(['', undefined])
    proxy.down.release()
    await eventually(() => user.text() === 'abc' && user.ended() === 'end')
  })

  test('hold, the other one', async (context) => {
    const { proxy, server, user } = await wire(context)
    proxy.up.hold()
    user.send('a')
    user.socket.resetAndDestroy()
    await eventually(() => user.socket.closed)
    expect([server.heard(), server.ends]).toEqual(['', []])
    proxy.up.release()
    await eventually(() => server.ends[0] === 'reset')
  })

  test('a hold is a full wire, not an endless buffer', async (context) => {
    const { proxy, user } = await wire(context)
    proxy.up.hold()
    const much = 24 * 1024 * 1024
    user.send('x'.repeat(much))
    // The proxy has stopped to read: the system's own buffers are full as well.
    const full = await stands(() => user.socket.writableLength)
    expect(full).toBeGreaterThan(0)
    proxy.up.release()
    await eventually(() => proxy.up.bytes === much, { withinMs: 20_000 })
  })

  test('black hole: new ones are accepted and never answered, old ones are silent for good', async (context) => {
    const { proxy, server, user } = await wire(context)
    user.send('a')
    await user.gets(1)
    proxy.blackHole()
    const late = await client(context, proxy.address)
    user.send('b')
    late.send('c')
    await eventually(() => user.socket.bytesWritten === 2 && late.socket.bytesWritten === 1)
    proxy.heal()
    const healed = await client(context, proxy.address)
    healed.send('d')
    expect(await healed.gets(1)).toBe('d')
    user.send('e')
    late.send('f')
    healed.send('g')
    expect(await healed.gets(2)).toBe('dg')
    expect([user.text(), late.text(), server.heard()]).toEqual(['a', '', 'adg'])
    expect([user.ended(), late.ended()]).toEqual([undefined, undefined])
    proxy.cut()
    await eventually(() => user.ended() === 'reset' && late.ended() === 'reset')
  })
})

describe('it is slow', () => {
  test('delay: later, and not less at once', async (context) => {
    const { proxy, user } = await wire(context)
    proxy.up.shape({ delayMs: 100 })
    proxy.down.shape({ delayMs: 50, jitterMs: 20 })
    const start = performance.now()
    for (let part = 0; part < 100; part++) user.send('0123456789')
    await user.gets(1_000)
    expect(performance.now() - start).toBeGreaterThanOrEqual(149)
    expect(user.text()).toBe('0123456789'.repeat(100))
    proxy.up.shape({})
    proxy.down.shape({})
    user.send('!')
    await user.gets(1_001)
  })

  test('rate: so many bytes in a second', async (context) => {
    const { proxy, user } = await wire(context)
    proxy.up.shape({ bytesPerSecond: 20_000 })
    const start = performance.now()
    user.send('x'.repeat(10_000))
    await user.gets(5_000)
    const half = performance.now() - start
    await user.gets(10_000)
    expect(half).toBeGreaterThan(200)
    expect(performance.now() - start).toBeGreaterThan(450)
  })

  test('slices: every byte by itself', async (context) => {
    const { proxy, user } = await wire(context)
    proxy.down.shape({ sliceBytes: 1 })
    user.send('0123456789'.repeat(20))
    expect(await user.gets(200)).toBe('0123456789'.repeat(20))
    expect(user.pieces.length).toBeGreaterThan(20)
  })
})

describe('it sees and changes bytes', () => {
  test('counts a byte string, also across pieces, from when it is told to', async (context) => {
    const { proxy, user } = await wire(context)
    user.send('abab')
    await user.gets(4)
    const offsets: number[] = []
    const watch = proxy.up.watch('ab', ({ offset }) => offsets.push(offset))
    user.send('ab a')
    await user.gets(8)
    user.send('b')
    await user.gets(9)
    expect([watch.count, offsets]).toEqual([2, [4, 7]])
    watch.stop()
    user.send('ab')
    await user.gets(11)
    expect(watch.count).toBe(2)
  })

  test('does not join what came on different connections', async (context) => {
    const { proxy, user } = await wire(context)
    const other = await client(context, proxy.address)
    const watch = proxy.up.watch(new Uint8Array([0, 255]))
    user.send('\x00')
    await user.gets(1)
    other.send('\xff')
    await other.gets(1)
    expect(watch.count).toBe(0)
    user.send('\xff')
    await user.gets(2)
    expect(watch.count).toBe(1)
  })

  test('tells when it goes through for the nth time', async (context) => {
    const { proxy, user } = await wire(context)
    const third = proxy.down.passes('!', 3)
    user.send('a! b! c! d!')
    expect(await third).toEqual({ connection: 1, offset: 7 })
  })

  test('turns over one bit of one byte', async (context) => {
    const { proxy, server, user } = await wire(context, { seed: 3 })
    const flipped = proxy.up.flipBit(5)
    user.send('aaaaaaaaaa')
    expect(await flipped).toEqual({ connection: 1, offset: 4 })
    await user.gets(10)
    const sent = Buffer.from('aaaaaaaaaa')
    const got = Buffer.from(server.heard(), 'latin1')
    const changed = [...got].map((byte, at) => byte ^ (sent[at] as number))
    expect(changed.filter((bits) => bits !== 0)).toHaveLength(1)
    expect(Math.log2(changed[4] as number) % 1).toBe(0)
  })
})

/** What a number comes to when it no longer changes. */
async function stands(look: () => number): Promise<number> {
  let last = Number.NaN
  let same = 0
  await eventually(
    () => {
      const now = look()
      same = now === last ? same + 1 : 0
      last = now
      return same >= 10
    },
    { withinMs: 10_000 },
  )
  return last
}
