/** What a message carries arrives as it was sent. */
import type { Destination, OutboundMessage } from '@notify/core'
import type { Definition } from '../case.ts'
import { arrived, atBothEnds, byHeader, bytesOf, NAME } from '../checks/arrival.ts'
import { show } from '../claims.ts'
import type { Trial } from '../trial.ts'
import { HOSTILE } from './hostile.ts'
import { BODIES, ILLEGAL_NAMES, ILLEGAL_VALUES, KEYS, NAMES, TYPES, VALUES } from './texts.ts'

const CARRIED: readonly Definition[] = [
  {
    id: 'CON-01',
    title: 'MUST carry a body byte for byte, whatever its bytes are',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      await atBothEnds(
        trial,
        (destination) =>
          named(
            trial,
            destination,
            BODIES.map((body) => ({ body })),
          ),
        {
          nameOf: byHeader,
        },
      )
    },
  },
  {
    id: 'CON-02',
    title: 'MUST carry an empty body',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const body = new Uint8Array()
      const fields = [{ body }, {}, { body, key: 'k' }, { body, headers: { seat: '12' } }, { body }]
      const make = (destination: Destination): OutboundMessage[] => named(trial, destination, fields)
      await atBothEnds(trial, make, { nameOf: byHeader, hint: 'together' })
      // With nothing at all in them, there is no telling them apart.
      await atBothEnds(trial, (destination) => [trial.message(destination, { body })], {
        nameOf: () => 'empty',
        hint: 'alone',
      })
    },
  },
  {
    id: 'CON-03',
    title: 'MUST carry bodies of any size up to maxMessageBytes, about every boundary',
    needs: ['stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const { maxMessageBytes } = trial.capabilities
      const boundaries = [1_024, 65_536, 131_072, 262_144, 2 ** 20].flatMap((size) => [
        size - 1,
        size,
        size + 1,
      ])
      const largest = Math.min(maxMessageBytes, LARGEST)
      const sizes = new Set([...boundaries.filter((size) => size <= largest), largest])
      const bytes = noise(trial)
      await atBothEnds(trial, (destination) =>
        [...sizes].map((size, index) => {
          const message = trial.message(destination)
          return { ...message, body: cut(bytes, index, message.body, size) }
        }),
      )
    },
  },
  {
    id: 'CON-04',
    title: 'MUST carry headers unchanged: legal names with their case, and values of any text',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      const one = [...NAMES.map((name) => ({ [name]: 'x' })), ...VALUES.map((value) => ({ text: value }))]
      const all = Object.fromEntries(NAMES.map((name, index) => [name, `${index}`]))
      const many = Object.fromEntries(VALUES.map((value, index) => [`h${index}`, value]))
      const fields = [...one, all, many, {}].map((headers) => ({ headers }))
      await atBothEnds(trial, (destination) =>
        fields.map((each) => trial.message(destination, each)).filter((message) => fits(trial, message)),
      )
    },
  },
  {
    id: 'CON-05',
    title: 'MUST settle with INVALID a message with another header name, or a value that is no plain text',
    needs: [],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const headers = [
        ...ILLEGAL_NAMES.map((name) => Object.fromEntries([[name, 'x']])),
        ...ILLEGAL_VALUES.map((value) => ({ fine: 'x', text: value })),
      ]
      const sent: OutboundMessage[] = []
      const good: OutboundMessage[] = []
      for (const each of headers) {
        const bad = trial.message(orders, { headers: each })
        const between = [trial.message(orders, { headers: { fine: 'x' } }), bad, trial.message(orders)]
        good.push(...between.filter((message) => message !== bad))
        sent.push(...between)
      }
      for (const call of await trial.publishAll(driver, sent)) {
        for (const [index, message] of call.batch.entries()) {
          const outcome = call.outcome(index)
          if (good.includes(message)) {
            trial.check(outcome === 'confirmed', 'a message beside one that is INVALID is confirmed')
            continue
          }
          const rule = `the headers ${show(JSON.stringify(message.headers))} are refused with INVALID`
          const expected = { code: 'INVALID', retryable: false, maybeSent: false, scope: 'message' } as const
          trial.claims.failed(outcome, expected, rule)
        }
      }
      if (!trial.canSee) return
      arrived(trial, await trial.stored(orders, good.length), good, 'beside INVALID ones')
    },
  },
  {
    id: 'CON-10',
    title:
      'MUST store what another client reads as documented: the very bytes, headers, content type and key',
    needs: ['stored', 'read'],
    budgetMs: 30_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const golden = {
        headers: { 'Trace-Id': '7b', city: 'Zürich ⛰ "alt"', empty: '' },
        key: 'order-12 ü',
        contentType: 'application/octet-stream',
      }
      const sent = named(trial, orders, [
        { ...golden, body: Uint8Array.of(0x00, 0xff, 0xc3, 0x28, 0x0a, 0x80) },
        { ...golden, body: new TextEncoder().encode('{"total":"12 €"}') },
        { body: new TextEncoder().encode('aGVsbG8=') },
      ])
      await trial.confirm(driver, sent)
      arrived(trial, await trial.stored(orders, sent.length), sent, 'to another client', byHeader)
    },
  },
  {
    id: 'CON-11',
    title: 'MUST carry the content type of each message',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      await atBothEnds(trial, (destination) =>
        TYPES.map((contentType) => trial.message(destination, { contentType })),
      )
    },
  },
  {
    id: 'CON-12',
    title: 'MUST carry the key of each message, and none where there is none',
    needs: ['stored'],
    budgetMs: 30_000,
    async prove(trial) {
      await atBothEnds(trial, (destination) => {
        const keyed = [...KEYS, ...KEYS].map((key) => trial.message(destination, { key }))
        return keyed
          .flatMap((message) => [message, trial.message(destination)])
          .filter((each) => fits(trial, each))
      })
    },
  },
]

export const CONTENT: readonly Definition[] = [...CARRIED, ...HOSTILE]

/** Beyond this size a body says nothing new. */
const LARGEST = 16 * 2 ** 20

/** Messages that are known by a header. Those that the driver does not take are left out. */
function named(
  trial: Trial,
  destination: Destination,
  fields: readonly Partial<OutboundMessage>[],
): OutboundMessage[] {
  return fields
    .map((each, index) => {
      const headers = { ...each.headers, [NAME]: `n${index}` }
      return trial.message(destination, { ...each, headers })
    })
    .filter((message) => fits(trial, message))
}

function fits({ capabilities }: Trial, message: OutboundMessage): boolean {
  return bytesOf(message) <= capabilities.maxMessageBytes
}

/** Bytes of which no part is like another. */
function noise({ random }: Trial): Uint8Array {
  return new Uint8Array(
    Uint32Array.from({ length: 2 ** 18 + 1_000 }, () => random.between(0, 2 ** 32 - 1)).buffer,
  )
}

/** A body of that size which says what it is of, and is otherwise made of `bytes`, from there on. */
function cut(bytes: Uint8Array, from: number, head: Uint8Array, size: number): Uint8Array {
  const body = new Uint8Array(size)
  for (let at = 0; at < size; at += bytes.length) {
    const part = bytes.subarray(at === 0 ? from : 0)
    body.set(part.subarray(0, size - at), at)
  }
  body.set(head.subarray(0, size))
  return body
}
