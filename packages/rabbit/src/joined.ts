import type { Writable } from 'node:stream'
import type { ChannelModel } from 'amqplib'

/**
 * amqplib writes each frame by itself, and each write is a system call. From here on, what is written in one turn
 * goes out together. Does nothing where amqplib's socket is not where it is today: slower, and as good.
 */
export function joinWrites({ connection }: ChannelModel): void {
  const { stream } = connection as { readonly stream?: Writable }
  if (typeof stream?.cork !== 'function') return
  const write = stream.write as (...args: unknown[]) => boolean
  let corked = false
  stream.write = (...args: unknown[]): boolean => {
    if (!corked) {
      corked = true
      stream.cork()
      process.nextTick(() => {
        corked = false
        stream.uncork()
      })
    }
    return write.apply(stream, args)
  }
}
