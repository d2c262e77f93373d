import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'
import { requireBroker } from '@notify/brokers'
import { expect, test } from 'vitest'

test('the program in the README runs, and prints what it says', { tags: ['broker'] }, async (context) => {
  const { url } = await requireBroker(context, 'rabbit')
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const program = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], {
    cwd: new URL('..', import.meta.url),
    env: { ...process.env, RABBIT_URL: url },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  })
  const [printed, complaints] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect([printed, complaints]).toEqual(['{ order_id: 12 }\n', ''])
})
