import { Writable } from 'node:stream'
import type { ChannelModel } from 'amqplib'
import { expect, test } from 'vitest'
import { joinWrites } from '../src/joined.ts'

/** A connection of amqplib, as far as it is looked at, and what its socket was asked to send, call by call. */
function connection(): { model: ChannelModel; stream: Writable; sent: string[][] } {
  const sent: string[][] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      sent.push([String(chunk)])
      done()
    },
    writev(chunks, done) {
      sent.push(chunks.map(({ chunk }) => String(chunk)))
      done()
    },
  })
  return { model: { connection: { stream } } as unknown as ChannelModel, stream, sent }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('what is written in one turn goes out together, in its order, when the turn ends', async () => {
  const { model, stream, sent } = connection()
  joinWrites(model)
  for (const text of ['a', 'b', 'c']) stream.write(text)
  expect(sent).toEqual([])
  await turn()
  stream.write('d')
  await turn()
  expect(sent).toEqual([['a', 'b', 'c'], ['d']])
})

test('callbacks and a full buffer are told as before', async () => {
  const { model, stream } = connection()
  joinWrites(model)
  let drained = 0
  stream.on('drain', () => drained++)
  const { promise, resolve } = Promise.withResolvers<void>()
  const full = Buffer.alloc(stream.writableHighWaterMark)
  expect(stream.write(full, () => resolve())).toBe(false)
  await promise
  await turn()
  expect(drained).toBe(1)
})

test('what is written last goes out before the end', async () => {
  const { model, stream, sent } = connection()
  joinWrites(model)
  stream.write('last')
  stream.end('word')
  await turn()
  expect(sent.flat()).toEqual(['last', 'word'])
  expect(stream.writableFinished).toBe(true)
})

test('a connection that keeps its socket elsewhere is left as it is', () => {
  expect(() => joinWrites({ connection: {} } as ChannelModel)).not.toThrow()
})
