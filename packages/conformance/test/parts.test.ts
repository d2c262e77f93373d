import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { Finder } from '../src/proxy/finder.ts'
import { reservePorts, seeded } from '../src/proxy/index.ts'

test('ports are given to one at a time, outside those that the system hands out', async (context) => {
  context.skip(process.platform !== 'linux', 'only Linux says which those are')
  const [one, two] = await Promise.all([reservePorts(20), reservePorts(20)])
  context.onTestFinished(() => [one, two].forEach((each) => void each.release()))
  expect(new Set([...one.ports, ...two.ports]).size).toBe(40)
  const range = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
  expect(Math.max(...one.ports, ...two.ports)).toBeLessThan(Number.parseInt(range, 10))
  const server = createServer().listen(one.ports[0], '127.0.0.1')
  await once(server, 'listening')
  server.close()
})

test('chance repeats with its seed, and keeps its bounds', () => {
  const [one, again, other] = [seeded(5), seeded(5), seeded(6)]
  const draw = (random: typeof one) => Array.from({ length: 200 }, () => random.between(2, 4))
  const drawn = draw(one)
  expect(draw(again)).toEqual(drawn)
  expect(draw(other)).not.toEqual(drawn)
  expect(new Set(drawn)).toEqual(new Set([2, 3, 4]))
})

test('a byte string is found wherever a stream is cut, and none is found twice', () => {
  const text = 'aababab-abab'
  const [bytes, pattern] = [Buffer.from(text), Buffer.from('abab')]
  for (let cut = 0; cut < 2 ** (text.length - 1); cut++) {
    const finder = new Finder(pattern)
    const found: number[] = []
    let start = 0
    for (let end = 1; end <= text.length; end++) {
      const isCut = end === text.length || ((cut >> (end - 1)) & 1) === 1
      if (!isCut) continue
      found.push(...finder.push(bytes.subarray(start, end)).map((at) => start + at))
      start = end
    }
    expect(found, `cut at the bits of ${cut}`).toEqual([1, 8])
  }
})
