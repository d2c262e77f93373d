// Run by a test in a process of its own: what happens when a program ends.
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createNotifier } from '../../src/index.ts'
import { scripted } from './publisher.ts'

const [what, count = '1'] = process.argv.slice(2)
const hooks = { onFailure: () => {}, onStatus: () => {} }
const silent = { publisherId: 'child', ...hooks }

if (what === 'exit') {
  const notifier = createNotifier({ ...silent, driver: scripted() })
  // That another one was closed takes nothing from this one.
  await createNotifier({ ...silent, driver: scripted() }).close()
  for (let index = 0; index < Number(count); index++) notifier.info('a', {})
  await notifier.flush({ timeoutMs: 10 })
  process.exit(7)
}

if (what === 'exit-copies') {
  const folder = mkdtempSync(join(tmpdir(), 'notify-copy-'))
  try {
    cpSync(new URL('../../src', import.meta.url), folder, { recursive: true })
    const copy = (await import(join(folder, 'index.ts'))) as { createNotifier: typeof createNotifier }
    for (const create of [createNotifier, copy.createNotifier]) {
      const notifier = create({ ...silent, driver: scripted() })
      for (let index = 0; index < Number(count); index++) notifier.info('a', {})
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  process.exit(7)
}

if (what === 'close') {
  const round = async () => {
    await using notifier = createNotifier({ ...silent, driver: scripted({ reply: 'confirm' }) })
    for (let index = 0; index < 3; index++) notifier.info('a', {})
    await notifier.flush()
    return notifier.stats()
  }
  // What close() leaves to the next turn of the loop is gone by then.
  const resources = () =>
    new Promise<string[]>((resolve) =>
      setImmediate(() => setImmediate(() => resolve(process.getActiveResourcesInfo()))),
    ).then((active) => [...active, `${process.listenerCount('exit')} listening for the exit`])
  const before = await resources()
  const reports: Awaited<ReturnType<typeof round>>[] = []
  for (let rounds = 0; rounds < Number(count); rounds++) reports.push(await round())
  const after = await resources()
  const sum = (name: 'emitted' | 'confirmed' | 'pending') =>
    reports.reduce((total, report) => total + report[name], 0)
  const report = { emitted: sum('emitted'), confirmed: sum('confirmed'), pending: sum('pending') }
  process.stdout.write(JSON.stringify({ before, after, report }))
}

if (what === 'idle') {
  const notifier = createNotifier({ ...silent, driver: scripted({ reply: 'confirm' }) })
  for (let index = 0; index < 100; index++) notifier.info('a', {})
  await notifier.flush()
}
