/** Starts a broker of its own, says where, and stays. */
import { createInterface } from 'node:readline'
import { start } from '../../src/index.ts'

const broker = await start('rabbit')
console.log(JSON.stringify({ pid: broker.pid, url: broker.url }))
createInterface(process.stdin).once('line', async () => {
  await broker.stop()
  process.stdin.destroy()
})
