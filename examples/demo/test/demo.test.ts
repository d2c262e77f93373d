import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { requireOwnBroker } from '@notify/brokers'
import { expect, test } from 'vitest'

test('the demo ends with 0, and all that it adds up agrees: in memory', {
  tags: ['slow'],
  timeout: 100_000,
}, async () => {
  const sums = await demo()
  expect(sums.notifier).toMatchObject({ failed: 0, shed: 0, pending: 0 })
  expect(sums.dead).toMatchObject({ 'read from notifications.dead': 1 })
})

test('the demo ends with 0, and all that it adds up agrees: over RabbitMQ', {
  tags: ['broker'],
  timeout: 120_000,
}, async (context) => {
  const { url } = await requireOwnBroker(context, 'rabbit')
  const sums = await demo('--driver', 'rabbit', '--url', url)
  expect(sums.notifier).toMatchObject({ failed: 0, shed: 0, pending: 0 })
  expect(sums.dead).toMatchObject({ 'read from notify_demo.dead': 1 })
})

type Sum = Readonly<Record<string, number>>

/** Runs it to its end, and gives its sums, each added up once more. */
async function demo(...args: readonly string[]): Promise<Readonly<Record<string, Sum>>> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../main.ts'), ...args], {
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 90_000,
  })
  const closed = once(child, 'close')
  const [printed, complaints] = await Promise.all([text(child.stdout), text(child.stderr)])
  expect(await closed, `${printed}\n${complaints}`).toEqual([0, null])
  const sums = Object.fromEntries(
    [...printed.matchAll(/^ {3}(\w+) +([\d,]+ \w+) =([^=]*) ✓$/gm)].map(([, name, whole, terms]) => {
      const total = Object.values(read(whole as string)).at(0)
      const parts = read(terms as string)
      expect(Object.values(parts).reduce((sum, part) => sum + part, 0)).toBe(total)
      return [name as string, parts]
    }),
  )
  expect(Object.keys(sums), printed).toEqual(['notifier', 'listener', 'handled', 'dead'])
  return sums
}

/** `20,041 acked + 1 dead`, over several lines or in one. */
function read(terms: string): Sum {
  const entries = terms.split('+').map((term) => {
    const [count, ...name] = term.trim().split(/\s+/)
    return [name.join(' '), Number(count?.replaceAll(',', ''))] as const
  })
  return Object.fromEntries(entries)
}
