/** The program at the other end: what is done with each notification, and what was seen of them all. */
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import {
  createListener,
  type HandlerContext,
  type Listener,
  type NotificationOf,
  type Notifier,
  type Priority,
} from '@notify/core'
import { type Events, sentence } from './events.ts'
import type { Transport } from './options.ts'
import * as screen from './screen.ts'

type Notification = NotificationOf<Events>

/** What the handlers have seen so far. */
export interface Seen {
  /** By `message_id`: a notification that comes twice is one. */
  readonly all: Map<string, Priority>
  traces: number
  backlog?: { readonly at: number; readonly traces: number }
  archived: boolean
  dead: number
}

export interface Surroundings {
  /** Whose notifications count. On a broker that is shared, others may be about. */
  readonly publisherId: string
  /** It does not exist yet. */
  readonly archiveFolder: string
  /** Nobody listens there. */
  readonly pagerPort: number
}

export function createListeners(
  { driver, topic }: Transport,
  notifier: Notifier<Events>,
  { publisherId, archiveFolder, pagerPort }: Surroundings,
): { seen: Seen; listener: Listener; undertaker: Listener } {
  const seen: Seen = { all: new Map(), traces: 0, archived: false, dead: 0 }

  const listener = createListener<Events>({
    driver,
    topics: [topic],
    handlers: [
      { event_type: 'process.trace', handle: () => void seen.traces++ },
      { where: ({ event_type }) => event_type !== 'process.trace', handle: show },
      {
        event_type: 'limit.crossed',
        where: ({ payload }) => payload.what === 'backlog',
        handle: markBacklog,
      },
      { event_type: 'report.ready', handle: archive },
      { event_type: 'archive.failed', handle: () => mkdir(archiveFolder, { recursive: true }) },
      { event_type: 'archive.failed', attempts: { max: 3 }, handle: page },
      {
        publisher_id: publisherId,
        handle: ({ message_id, priority }) => void seen.all.set(message_id, priority),
      },
    ],
    onFailure: ({ code, reason }) => screen.note(`the listener gave one up: ${code}, ${reason}`),
    onStatus: ({ driver, state }) => screen.note(`the listener hears that ${driver} is ${state}`),
  })

  /** Reads what the first one gave up. */
  const undertaker = createListener<Events>({
    driver,
    topics: [`${topic}.dead`],
    handlers: [{ publisher_id: publisherId, handle: showDead }],
    onStatus() {},
  })

  function show(notification: Notification): void {
    screen.event(notification, sentence(notification))
  }

  function markBacklog(): void {
    seen.backlog ??= { at: performance.now(), traces: seen.traces }
  }

  /** Throws while there is no folder, and is run again. */
  async function archive(notification: Notification, { attempt }: HandlerContext): Promise<void> {
    try {
      await writeFile(join(archiveFolder, notification.message_id), JSON.stringify(notification))
    } catch (error) {
      const { code = 'UNKNOWN' } = error as NodeJS.ErrnoException
      screen.note(`archive, attempt ${attempt}: ${code}`)
      if (attempt === 1) notifier.error('archive.failed', { code, folder: archiveFolder })
      throw error
    }
    screen.note(`archive, attempt ${attempt}: saved`)
    seen.archived = true
  }

  /** Throws each time: nobody listens there. After the third the notification is a dead letter. */
  async function page(_: Notification, { attempt }: HandlerContext): Promise<void> {
    const socket = connect(pagerPort, '127.0.0.1')
    try {
      await once(socket, 'connect')
    } catch (error) {
      screen.note(`pager, attempt ${attempt}: ${(error as Error).message}`)
      throw error
    } finally {
      socket.destroy()
    }
  }

  function showDead(notification: Notification, { headers }: HandlerContext): void {
    const { attempts, from } = JSON.parse(headers['notify-dead'] ?? '{}')
    screen.event(notification, `dead letter from ${from}, ${attempts} attempts`)
    seen.dead++
  }

  return { seen, listener, undertaker }
}
