/** What others have written, or want to reach with what they write. */
import type { Delivery, Destination, Driver, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { arrived, delivered } from '../checks/arrival.ts'
import { show } from '../claims.ts'
import type { RawMessage } from '../harness.ts'
import { bodyOf, idOf } from '../inbox.ts'
import { assorted } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'
import { SYNTAX } from './syntax.ts'

export const HOSTILE: readonly Definition[] = [
  {
    id: 'PSN-01',
    title:
      'MUST deliver what another program has written, as bytes and headers of text, and what comes after it',
    needs: ['subscribe', 'inject'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const known = new Map<string, RawMessage>()
      const wanted: string[] = []
      const strange = async (hint: string): Promise<void> => {
        for (const [index, raw] of strangers().entries()) {
          const id = `${hint}-${index}`
          const marked = raw.body === undefined ? raw : { ...raw, body: joined(bodyOf(id), raw.body) }
          known.set(id, marked)
          wanted.push(raw.body === undefined ? '?' : id)
          await trial.harness.inject?.(orders, marked)
          const next = trial.message(orders)
          wanted.push(next.id)
          await trial.confirm(driver, [next])
        }
      }
      await strange('before')
      const inbox = await trial.subscribe(driver, orders, { prefetch: 1 })
      await trial.has(inbox, wanted.length, 'what others wrote is delivered, and what comes after it')
      await strange('meanwhile')
      await trial.has(inbox, wanted.length, 'what others wrote is delivered, and what comes after it')
      await trial.quiet()
      trial.claims.sameIds(inbox.ids, wanted, 'what others wrote is delivered once')
      trial.check(inbox.end === undefined, 'a strange message ends no subscription')
      for (const delivery of inbox.deliveries)
        wellFormed(trial, delivery, known.get(idOf(delivery.body) ?? ''))
    },
  },
  {
    id: 'SEC-01',
    title: 'MUST take names that objects inherit for data, and let none of them become a prototype',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const inherited = Object.getOwnPropertyNames(Object.prototype).join()
      const driver = await trial.open()
      for (const end of ['at-rest', 'onward'] as const) {
        const destination = await trial.destination(end)
        const inbox =
          end === 'onward' && trial.subscribes ? await trial.subscribe(driver, destination) : undefined
        const sent = inheriting(trial, destination)
        await trial.confirm(driver, sent)
        await refusesProto(trial, driver, destination)
        if (end === 'at-rest')
          arrived(trial, await trial.stored(destination, sent.length), sent, 'in the broker')
        if (inbox === undefined) continue
        await delivered(trial, inbox, sent)
        for (const { headers } of inbox.deliveries) plainObject(trial, headers)
      }
      if (trial.subscribes && trial.harness.inject !== undefined) await forged(trial, driver)
      const now = Object.getOwnPropertyNames(Object.prototype).join()
      trial.claims.equal(now, inherited, 'the prototype of all objects is left alone')
    },
  },
  ...SYNTAX,
  {
    id: 'SEC-04',
    title: 'MUST leave its input as it is, and not need it any more once it is settled',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const untouched = await trial.destination('untouched')
      for (const harden of [(message: OutboundMessage) => message, frozen]) {
        const batch = assorted(trial, untouched, Math.min(12, trial.capabilities.maxBatch)).map(harden)
        const copies = batch.map(copyOf)
        const given = harden === frozen ? Object.freeze([...batch]) : [...batch]
        trial.confirmed(await trial.publish(driver, given))
        trial.check(
          given.every((message, index) => message === batch[index]),
          'the batch is left as it is',
        )
        arrived(trial, batch, copies, 'after publish')
        trial.claims.sameOrder(idsOf(batch), idsOf(copies), 'the ids are left as they are')
      }

      const rest = await trial.destination('at-rest')
      const kept = await overwritten(trial, driver, rest)
      arrived(trial, await trial.stored(rest, kept.length), kept, 'in the broker')
      if (!trial.subscribes) return
      const onward = await trial.destination('onward')
      const sent = await overwritten(trial, driver, onward)
      await delivered(trial, await trial.subscribe(driver, onward), sent)
    },
  },
]

/** Messages that no driver writes. Those with a body get one that says which they are, in front of it. */
function strangers(): RawMessage[] {
  const body = new Uint8Array()
  const values = {
    plain: 'text',
    number: 7,
    float: -1.5,
    large: 2 ** 40,
    yes: true,
    no: false,
    nothing: null,
    list: [1, 'a', [true]],
    table: { a: { b: 1 }, c: [] },
  }
  return [
    {},
    { headers: {} },
    { body },
    { body: Uint8Array.of(0, 0xff, 0xc3) },
    { headers: values },
    { body, headers: values },
    { body, headers: { plain: 'text', long: 'x'.repeat(60_000) } },
    { body: new Uint8Array(65_536).fill(0xfe) },
    { body, headers: { plain: 'text', 'bad name': 'x', 'a:b': 'x', naïve: 'x', '-a': 'x', _a: 7 } },
    { body, headers: { plain: 'text', control: 'a\u0001b\u007f', lines: 'a\r\nb' } },
    { body, headers: { plain: 'text', 'notify-key': 7, 'notify-dead': [1], 'content-type': false } },
    { body, headers: { plain: 'text', 'x-delivery-count': 90, 'x-acquired-count': 90 } },
  ]
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(parts)
}

const LEGAL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}$/

function wellFormed({ claims, capabilities }: Trial, delivery: Delivery, raw: RawMessage | undefined): void {
  const { body, headers, contentType, key, deliveries } = delivery
  if (capabilities.deliveryCount) {
    claims.equal(deliveries, 1, "the count of deliveries is the broker's own, whatever was written")
  }
  claims.check(body instanceof Uint8Array, 'the body of a strange message is bytes', typeof body)
  if (raw?.body !== undefined)
    claims.bytes(body, raw.body, 'the body of a strange message is what was written')
  claims.check(typeof headers === 'object' && headers !== null, 'headers are an object', typeof headers)
  for (const [name, value] of Object.entries(headers)) {
    claims.check(LEGAL.test(name), 'names of headers are legal, whatever was written', show(name))
    claims.equal(typeof value, 'string', `the header ${name} is text, whatever was written`)
  }
  if (raw?.headers !== undefined && 'plain' in raw.headers && raw.body !== undefined) {
    claims.equal(headers.plain, 'text', 'a text that was written in a header is what arrives')
  }
  for (const [what, value] of Object.entries({ contentType, key })) {
    claims.check(
      value === undefined || typeof value === 'string',
      `the ${what} is text, or is not there`,
      show(value),
    )
  }
}

/** All that is inherited by every object, as the name of a header, as a key and as an id. */
function inheriting(trial: Trial, destination: Destination): OutboundMessage[] {
  const names = ['constructor', 'toString', 'valueOf', 'hasOwnProperty', 'prototype', 'isPrototypeOf']
  const headers = Object.fromEntries(names.map((name) => [name, `the ${name}`]))
  return [
    trial.message(destination, { headers }),
    trial.message(destination, { headers: { 'constructor.prototype.polluted': 'yes' } }),
    ...['constructor', 'toString', '__proto__'].flatMap((name) => [
      trial.message(destination, { key: name }),
      trial.message(destination, { id: name }),
    ]),
  ]
}

async function refusesProto(trial: Trial, driver: Driver, destination: Destination): Promise<void> {
  // As JSON.parse makes it: a property of its own, with that name.
  const headers = JSON.parse('{"__proto__":"text"}') as Record<string, string>
  const call = await trial.publish(driver, [trial.message(destination, { headers })])
  const expected = { code: 'INVALID', maybeSent: false } as const
  trial.claims.failed(call.outcome(0), expected, 'a header __proto__ is refused with INVALID')
}

/** What another program has written to become a prototype here becomes none. */
async function forged(trial: Trial, driver: Driver): Promise<void> {
  const destination = await trial.destination('forged')
  const harm = { polluted: 'yes', 'notify-key': 'forged', 'x-delivery-count': 90, 'x-acquired-count': 90 }
  const headers = JSON.parse(
    JSON.stringify({ plain: 'text', proto: harm, constructor: { prototype: harm } }).replace(
      'proto"',
      '__proto__"',
    ),
  ) as Record<string, unknown>
  const body = bodyOf('forged')
  await trial.harness.inject?.(destination, { body, headers })
  const inbox = await trial.subscribe(driver, destination)
  const [delivery] = (await trial.has(inbox, 1)) as [Delivery]
  trial.claims.bytes(delivery.body, body, 'the body of a strange message is what was written')
  plainObject(trial, delivery.headers)
  trial.claims.equal(delivery.key, undefined, 'a key is not inherited')
  if (trial.capabilities.deliveryCount) {
    trial.claims.equal(delivery.deliveries, 1, 'the count of deliveries is not inherited')
  }
}

function plainObject({ claims }: Trial, headers: Readonly<Record<string, unknown>>): void {
  const prototype: unknown = Object.getPrototypeOf(headers)
  const rule = 'the headers of a delivery inherit nothing that was sent'
  claims.check(prototype === null || prototype === Object.prototype, rule)
  claims.equal(headers.polluted as undefined, undefined, rule)
}

function frozen(message: OutboundMessage): OutboundMessage {
  Object.freeze(message.headers)
  Object.freeze(message.destination)
  return Object.freeze(message)
}

function copyOf(message: OutboundMessage): OutboundMessage {
  return { ...message, body: new Uint8Array(message.body), headers: { ...message.headers } }
}

/** Publishes, and overwrites each message as soon as it is settled. Gives what they were. */
async function overwritten(
  trial: Trial,
  driver: Driver,
  destination: Destination,
): Promise<OutboundMessage[]> {
  const messages = assorted(trial, destination, 20)
  const copies = messages.map(copyOf)
  const calls = await trial.publishAll(driver, messages, {
    onSettle({ body, headers }) {
      body.fill(0x21)
      for (const name of Object.keys(headers)) (headers as Record<string, string>)[name] = 'overwritten'
    },
  })
  for (const call of calls) trial.confirmed(call)
  return copies
}
