/** A run: lets two programs share a broker, says what they found, and stays. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { own, RUN } from '../../src/home.ts'

const { folder } = await own()
const env = { ...process.env, [RUN]: folder }
const sharers = ['one', 'two'].map(() => {
  const program = join(import.meta.dirname, 'shared.ts')
  return spawn(process.execPath, [program], { env, stdio: ['ignore', 'inherit', 'inherit'] })
})
await Promise.all(sharers.map((sharer) => once(sharer, 'exit')))
console.log(JSON.stringify({ folder }))
process.stdin.resume()
