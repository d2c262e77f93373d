/** A worker: what it does once, what it tries again, and what becomes of that which it has to give up. */
import { createListener, createNotifier, Reject } from '@notify/core'
import { memory } from '@notify/memory'

interface Events {
  'order.placed': { order_id: number; total: number }
}

// A broker may deliver twice. This one is told not to look for duplicates, so that one can be seen below.
const driver = memory({ deduplication: false })

/** In real life a unique index, filled in the same transaction that charges. */
const charged = new Set<string>()

const worker = createListener<Events>({
  driver,
  attempts: { max: 3, minMs: 1 },
  handlers: [
    {
      event_type: 'order.placed',
      handle({ message_id, payload }) {
        if (charged.has(message_id)) return console.log(`order ${payload.order_id}: charged already`)
        charge(payload)
        charged.add(message_id)
      },
    },
    {
      event_type: 'order.placed',
      handle({ payload }, { attempt }) {
        mail(payload, attempt)
      },
    },
  ],
})

/** What is given up lies in a topic of its own: the same bytes, with a note beside them. */
const gravedigger = createListener({
  driver,
  topics: ['notifications.dead'],
  handlers: [
    {
      handle({ payload }, { headers }) {
        const { code, reason, attempts } = JSON.parse(headers['notify-dead'] ?? '{}')
        console.log('dead letter:', payload, { code, reason, attempts })
      },
    },
  ],
})

function charge({ order_id, total }: Events['order.placed']): void {
  // Another attempt would not make it a number.
  if (typeof total !== 'number') throw new Reject('total is not a number')
  console.log(`order ${order_id}: ${total} charged`)
}

function mail({ order_id }: Events['order.placed'], attempt: number): void {
  const busy = order_id === 2 ? attempt < 3 : order_id === 3
  console.log(`order ${order_id}: mail ${busy ? 'server is busy' : 'sent'}, attempt ${attempt}`)
  if (busy) throw new Error('the mail server is busy')
}

await Promise.all([worker.start(), gravedigger.start()])
const notifier = createNotifier({ publisherId: 'shop', driver })

/** Emits one order and waits until everybody is done with it. */
async function place(order_id: number, total: unknown): Promise<void> {
  await notifier.info('order.placed', { order_id, total })
  await driver.idle()
  console.log()
}

// The broker's answer is lost, so it is sent again, and comes twice: charged once, though mailed twice.
driver.fail('UNAVAILABLE', { stored: true, maybeSent: true })
await place(1, 30)

// Its mail needs three attempts. Nothing is charged again meanwhile.
await place(2, 45)

// Its mail never goes out: given up after three attempts.
await place(3, 12)

// Another program has a bug: rejected at once. The other handler knows nothing of it, and has done its part.
await place(4, '9.90')

await notifier.close()
const { received, acked, dead } = await worker.stop()
await gravedigger.stop()
console.log('worker:', { received, acked, dead })
