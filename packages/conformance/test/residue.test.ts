import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { Residue } from '../src/process/residue.ts'

test('what some work leaves is what it has begun and not ended, with timers that hold nothing up', async () => {
  const residue = new Residue()
  const ends: (() => void)[] = []
  await residue.watch(async () => {
    await residue.during(async () => {
      clearInterval(setInterval(() => {}, 1_000))
      await new Promise((resolve) => setTimeout(resolve, 1))
    })
    expect(await residue.left(0, 1_000)).toEqual([])
    await residue.during(async () => {
      const timer = setInterval(() => {}, 60_000).unref()
      const listener = (): void => {}
      process.on('beforeExit', listener)
      ends.push(
        () => clearInterval(timer),
        () => process.off('beforeExit', listener),
      )
    })
    expect(await residue.left(0, 0)).toEqual(['Timeout', 'listener for beforeExit'])
    for (const end of ends) end()
    expect(await residue.left(0, 1_000)).toEqual([])
  })
})

test('what others begin meanwhile is not counted', async () => {
  const residue = new Residue()
  const server = createServer()
  await residue.watch(async () => {
    const work = Promise.withResolvers<void>()
    const during = residue.during(() => work.promise)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const timer = setTimeout(() => {}, 60_000)
    work.resolve()
    await during
    expect(await residue.left(0, 0)).toEqual([])
    clearTimeout(timer)
    await new Promise((resolve) => server.close(resolve))
  })
})
