import { connect } from 'node:net'
import type { Address } from '../broker.ts'

/** What a client says first: AMQP 0-9-1. */
const HEADER = Buffer.from('AMQP\0\0\x09\x01', 'latin1')
/** The frame of `connection.start`: a method on channel 0, class 10, method 10. */
const START = Buffer.from([1, 0, 0])
/** The name of a property, and its type: a long string. */
const VERSION = Buffer.from('\x07versionS', 'latin1')

/** Knocks at the door, and gives the version of who answers. Needs no user. */
export function greet({ host, port }: Address, timeoutMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port })
    let answer = Buffer.alloc(0)
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no greeting')))
    socket.once('connect', () => socket.write(HEADER))
    socket.on('data', (data) => {
      answer = Buffer.concat([answer, data])
      const version = versionIn(answer)
      if (version === undefined) return
      resolve(version)
      socket.destroy()
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error('closed without a greeting')))
  })
}

function versionIn(answer: Buffer): string | undefined {
  if (!answer.subarray(0, 3).equals(START) || answer.length < 7) return undefined
  if (answer.length < 7 + answer.readUInt32BE(3)) return undefined
  const at = answer.indexOf(VERSION)
  if (at < 0) return 'unknown'
  const start = at + VERSION.length + 4
  return answer.toString('utf8', start, start + answer.readUInt32BE(start - 4))
}
