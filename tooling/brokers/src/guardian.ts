/**
 * A program that outlives its owner by a moment: `guardian.ts <owner> <folder>`. It holds a connection to the
 * owner. When that ends, because the owner says so or because it is gone, SIGKILL included, it ends every process
 * of the folder and removes the folder. Closing its own side says that nothing is left.
 */
import { connect } from 'node:net'
import { sweep } from './sweep.ts'

const [owner, folder] = process.argv.slice(2)
if (owner === undefined || folder === undefined) throw new Error('guardian.ts <owner> <folder>')

const link = connect({ path: `\0${owner}`, allowHalfOpen: true })
let ending = false

async function end(): Promise<void> {
  if (ending) return
  ending = true
  await sweep(folder as string)
  link.destroy()
}

link.once('connect', () => process.stdout.write('watching\n'))
link.on('error', end).on('end', end).on('close', end)
link.resume()
// Ended by hand, it takes with it what it guards.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, end)
