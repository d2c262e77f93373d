import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createNotifier, jsonCodec, type Priority } from '../src/index.ts'
import { destinationsOf } from '../src/notifier/route.ts'
import { scripted } from './support/publisher.ts'

// Real notifications of OpenStack nova, where the file with them lies beside the repository.

const FILE = join(import.meta.dirname, '../../../../shared/data/nova-notifications.jsonl')

interface Sample {
  readonly sample: string
  readonly priority: Priority
  readonly publisher_id: string
  readonly event_type: string
  readonly payload: object
}

test('real notifications of nova arrive as they were emitted', async (context) => {
  if (!existsSync(FILE)) context.skip('no ../shared/data/nova-notifications.jsonl beside the repository')
  const samples = readFileSync(FILE, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Sample)
  expect(samples.length).toBeGreaterThan(100)
  const driver = scripted({ reply: 'confirm' })
  const notifier = createNotifier({ publisherId: 'test', driver, topics: ['versioned_notifications'] })
  const { decode } = jsonCodec()
  const [source] = destinationsOf('versioned_notifications')
  for (const { sample, priority, publisher_id, event_type, payload } of samples) {
    const { message_id } = await notifier
      .child({ publisherId: publisher_id })
      .notify(priority, event_type, payload)
    const sent = driver.handed.at(-1)?.message
    if (sent === undefined || source === undefined) throw new Error('nothing was sent')
    expect(sent.destination.name).toBe(`versioned_notifications.${priority.toLowerCase()}`)
    const { envelope } = decode({ body: sent.body, headers: sent.headers }, source)
    expect(envelope, sample).toEqual({
      message_id,
      publisher_id,
      event_type,
      priority,
      payload,
      timestamp: expect.stringMatching(/Z$/),
    })
  }
  await notifier.close()
})
