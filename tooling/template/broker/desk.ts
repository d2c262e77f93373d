import type { Journal } from './journal.ts'
import type { Change, Consumer, Group, Queue, Store } from './store.ts'

/** What a client asks for, as far as it needs it. */
export interface Request {
  readonly id: number
  readonly do: string
  readonly to: string
  readonly group?: Group
  readonly groups: readonly Group[]
  readonly consumer: number
  readonly credit: number
  readonly delivery: number
  readonly message: { readonly body?: unknown }
  readonly most: number
  readonly password?: string
}

interface Member extends Consumer {
  readonly queue: Queue
  pause(): void
}

/** One connection. */
export interface Session {
  /** It has said hello, with the right password. */
  greeted: boolean
  readonly consumers: Map<number, Member>
  send(line: object): void
}

/** Why the broker says no. */
export class Refusal extends Error {}

/** The largest body, in characters of base64. */
const MOST_BODY = 8 * 2 ** 20

/** Does what is asked, one request after the other. */
export class Desk {
  readonly #store: Store
  readonly #journal: Journal<Change>
  readonly #password: string | undefined
  readonly #sessions = new Set<Session>()
  #alarm = false

  constructor(store: Store, journal: Journal<Change>, password: string | undefined) {
    this.#store = store
    this.#journal = journal
    this.#password = password
  }

  /** What the answer says, beyond yes. */
  handle(session: Session, request: Request): object {
    if (!session.greeted && request.do !== 'hello') refuse('password')
    if (!Object.hasOwn(this.#duties, request.do)) refuse('unknown-request')
    return (this.#duties[request.do]?.(request, session) as object | undefined) ?? {}
  }

  readonly #duties: Readonly<Record<string, (request: Request, session: Session) => unknown>> = {
    hello: (request, session) => this.#greet(session, request),
    ping: () => undefined,
    declare: ({ to, groups }) => this.#change({ is: 'declared', to, groups }),
    check: ({ to, groups }) => groups.forEach((group) => void this.#queue(to, group)),
    publish: (request) => this.#publish(request),
    subscribe: (request, session) => this.#subscribe(session, request),
    pause: (request, session) => consumerOf(session, request).pause(),
    unsubscribe: (request, session) => this.#unsubscribe(session, request),
    ack: (request, session) => this.#settle(consumerOf(session, request), request),
    requeue: (request, session) => this.#settle(consumerOf(session, request), request),

    // For administrators. What is not there is empty.
    list: ({ to, group = null }) => {
      const entries = this.#store.queue(to, group)?.entries.values() ?? []
      return { messages: Array.from(entries, ({ message }) => message) }
    },
    count: ({ to, group = null }) => ({ count: this.#store.queue(to, group)?.entries.size ?? 0 }),
    consumers: ({ to, group = null }) => ({ count: this.#store.queue(to, group)?.consumers ?? 0 }),
    remove: ({ to }) => this.#change({ is: 'removed', to }),
    limit: ({ to, most }) => this.#change({ is: 'limited', to, most }),
    block: () => this.#alert(true),
    unblock: () => this.#alert(false),
  }

  /** What was delivered there and not settled, goes to others. */
  leave(session: Session): void {
    this.#sessions.delete(session)
    for (const consumer of session.consumers.values()) this.#drop(consumer)
  }

  #greet(session: Session, { password }: Request): void {
    if (this.#password !== undefined && password !== this.#password) refuse('password')
    session.greeted = true
    this.#sessions.add(session)
    // Behind the answer.
    if (this.#alarm) queueMicrotask(() => session.send({ event: 'blocked' }))
  }

  #alert(alarm: boolean): void {
    this.#alarm = alarm
    for (const session of this.#sessions) session.send({ event: alarm ? 'blocked' : 'unblocked' })
  }

  #change(record: Change): void {
    this.#journal.add(record)
    this.#store.apply(record)
  }

  #queue(to: string, group: Group): Queue {
    if (this.#store.queues(to).length === 0) refuse('no-destination')
    return this.#store.queue(to, group) ?? refuse('no-group')
  }

  #publish({ to, message }: Request): void {
    const queues = this.#store.queues(to)
    if (this.#alarm) refuse('blocked')
    if (queues.length === 0) refuse('no-destination')
    if (this.#store.isFull(to)) refuse('full')
    if (String(message.body ?? '').length > MOST_BODY) refuse('too-large')
    this.#change({ is: 'stored', to, number: this.#store.nextNumber, message })
    for (const queue of queues) this.#deliver(queue)
  }

  #subscribe(session: Session, { consumer: id, to, group = null, credit }: Request): void {
    const queue = this.#queue(to, group)
    const consumer: Member = {
      queue,
      unsettled: new Map(),
      credit,
      pause() {
        this.credit = 0
      },
      deliver: ({ number, deliveries, message }) =>
        session.send({ event: 'deliver', consumer: id, delivery: number, deliveries, message }),
      end() {
        session.consumers.delete(id)
        session.send({ event: 'ended', consumer: id, error: 'no-destination' })
      },
    }
    session.consumers.set(id, consumer)
    queue.add(consumer)
    this.#deliver(queue)
  }

  #unsubscribe(session: Session, request: Request): void {
    this.#drop(consumerOf(session, request))
    session.consumers.delete(request.consumer)
  }

  #settle({ queue, unsettled }: Member, request: Request): void {
    const entry = unsettled.get(request.delivery) ?? refuse('no-delivery')
    unsettled.delete(entry.number)
    const { to, group } = queue
    if (request.do === 'ack') this.#change({ is: 'settled', to, group, number: entry.number })
    else queue.giveBack([entry], true)
    this.#deliver(queue)
  }

  #drop(consumer: Member): void {
    consumer.queue.drop(consumer)
    this.#deliver(consumer.queue)
  }

  #deliver(queue: Queue): void {
    const { to, group } = queue
    for (let next = queue.next(); next !== undefined; next = queue.next()) {
      const { entry, consumer } = next
      this.#change({ is: 'delivered', to, group, number: entry.number })
      consumer.unsettled.set(entry.number, entry)
      consumer.deliver(entry)
    }
  }
}

function consumerOf({ consumers }: Session, { consumer }: Request): Member {
  return consumers.get(consumer) ?? refuse('no-consumer')
}

function refuse(code: string): never {
  throw new Refusal(code)
}
