// Run by a test in a process of its own, so that it can be killed. Appends `started n` and `done n` to a file for each
// notification that it handles; one that is bad kills it.
import { appendFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createListener } from '@notify/core'
import { rabbit } from '../../src/index.ts'

const [url, exchange, topic, file] = process.argv.slice(2) as [string, string, string, string]
const note = (line: string): void => appendFileSync(file, `${line}\n`)

const listener = createListener<{ [type: string]: { n: number; bad?: boolean } }>({
  driver: rabbit({ url, exchange }),
  topics: [topic],
  prefetch: 50,
  handlers: [
    {
      priorities: ['INFO'],
      async handle({ payload: { n, bad = false } }) {
        note(`started ${n}`)
        if (bad) process.kill(process.pid, 'SIGKILL')
        await sleep(20)
        note(`done ${n}`)
      },
    },
  ],
  // Hears of the one that was given up.
  onFailure: () => {},
})

process.on('message', async (command: 'stats' | 'stop') => {
  if (command === 'stats') process.send?.(listener.stats())
  else process.send?.(await listener.stop(), () => process.disconnect())
})
await listener.start()
