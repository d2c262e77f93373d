import { Writable } from 'node:stream'
import type { Driver, Failure, OutboundMessage, Priority } from '@notify/core'

export const CALL = { timeoutMs: 1_000, signal: new AbortController().signal }

export function message(
  content: unknown = {},
  fields: Partial<OutboundMessage> & { priority?: Priority } = {},
): OutboundMessage {
  const { priority = 'INFO', ...rest } = fields
  const envelope = {
    message_id: 'id',
    publisher_id: 'compute.host1',
    event_type: 'compute.create_instance',
    priority,
    payload: content,
    timestamp: '2026-11-22T09:30:00.123Z',
  }
  return {
    id: '0d7f',
    dedupId: '0d7f/notifications.info',
    destination: { topic: 'notifications', priority, name: `notifications.${priority.toLowerCase()}` },
    body: Buffer.from(JSON.stringify(envelope)),
    contentType: 'application/json',
    headers: {},
    ...rest,
  }
}

/** A message whose body is this text, or these bytes. */
export const raw = (body: string | Uint8Array): OutboundMessage => message({}, { body: Buffer.from(body) })

export type Outcome = Failure | 'confirmed'

/** Resolves when every message of the call is settled, and fails when one is settled twice. */
export function publish(
  driver: Driver,
  batch: readonly OutboundMessage[],
  signal: AbortSignal = CALL.signal,
): Promise<Outcome[]> {
  return new Promise((resolve, reject) => {
    const outcomes = new Map<OutboundMessage, Outcome>()
    const settle = (one: OutboundMessage, failure?: Failure) => {
      if (outcomes.has(one)) reject(new Error('settled twice'))
      outcomes.set(one, failure ?? 'confirmed')
      if (outcomes.size === batch.length) resolve(batch.map((each) => outcomes.get(each) as Outcome))
    }
    void driver.publish(batch, settle, { timeoutMs: 1_000, signal })
  })
}

/** A stream that takes a line when the test says so. */
export class Valve extends Writable {
  readonly taken: string[] = []
  readonly #waiting: ((error?: Error) => void)[] = []
  isTTY = false
  #open: boolean

  constructor(open = true) {
    super({ decodeStrings: false })
    this.#open = open
  }

  override _write(text: string, _: string, callback: (error?: Error) => void): void {
    this.taken.push(text)
    if (this.#open) callback()
    else this.#waiting.push(callback)
  }

  /** Answers the line at hand, and all after it. */
  open(error?: Error): void {
    this.#open = true
    for (const callback of this.#waiting.splice(0)) callback(error)
  }

  get lines(): string[] {
    return this.taken.map((line) => line.replace(/\n$/, ''))
  }
}

/** What is a few turns of the host away happens within these. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}
