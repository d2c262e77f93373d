import type { Delivery, OutboundMessage } from '@notify/core'
import { HOSTILE } from './hostile.ts'
import { changed, inbound, outbound } from './rewrite.ts'
import { like, type Saboteur } from './saboteur.ts'

const DECODER = new TextDecoder()
const ENCODER = new TextEncoder()

const CARRIED: readonly Saboteur[] = [
  {
    name: 'mangles-utf8',
    case: 'CON-01',
    caught: /in the broker, the body is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => ({ ...message, body: ENCODER.encode(DECODER.decode(message.body)) })),
  },
  {
    name: 'sends-the-whole-buffer',
    case: 'CON-01',
    caught: /in the broker, the body is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const { buffer, byteOffset } = message.body
        return byteOffset === 7 ? { ...message, body: new Uint8Array(buffer) } : message
      }),
  },
  {
    name: 'decodes-what-looks-like-base64',
    case: 'CON-01',
    caught: /delivered, the body is what was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const text = Buffer.from(delivery.body).toString('latin1')
        const isEncoded = /^[A-Za-z0-9+/]+=+$/.test(text)
        pass(isEncoded ? changed(delivery, { body: Buffer.from(text, 'base64') }) : delivery)
      }),
  },
  {
    name: 'skips-empty',
    case: 'CON-02',
    caught: /in the broker, each message is there once: missing/,
    sabotage: () => (driver) => outbound(driver, (message) => (message.body.length === 0 ? [] : message)),
  },
  {
    name: 'delivers-no-empty-body',
    case: 'CON-02',
    caught: /delivered, a body is bytes/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) =>
        pass(
          delivery.body.length === 0
            ? changed(delivery, { body: undefined as unknown as Uint8Array })
            : delivery,
        ),
      ),
  },
  {
    name: 'truncates-64k',
    case: 'CON-03',
    caught: /in the broker, the body is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => ({ ...message, body: message.body.subarray(0, 65_536) })),
  },
  {
    name: 'loses-the-last-byte-at-256k',
    case: 'CON-03',
    caught: /delivered, the body is what was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => {
        const { body } = delivery
        pass(body.length === 262_145 ? changed(delivery, { body: body.subarray(0, -1) }) : delivery)
      }),
  },
  {
    name: 'loses-what-is-larger-than-8-mib',
    case: 'CON-03',
    caught: /in the broker, each message is there once: missing/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => (message.body.length > 8 * 2 ** 20 ? [] : message)),
  },
  {
    name: 'repeats-a-frame',
    case: 'CON-03',
    caught: /in the broker, the body is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const body = new Uint8Array(message.body)
        if (body.length > 300_000) body.copyWithin(200_000, 100_000, 200_000)
        return { ...message, body }
      }),
  },
  {
    name: 'lower-cases-headers',
    case: 'CON-04',
    caught: /in the broker, the headers are what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => mapped(message, (name, value) => [name.toLowerCase(), value])),
  },
  {
    name: 'trims-headers',
    case: 'CON-04',
    caught: /delivered, the headers are what was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) =>
        pass(
          changed(
            delivery,
            mapped(delivery, (name, value) => [name, value.trim()]),
          ),
        ),
      ),
  },
  {
    name: 'normalises-headers',
    case: 'CON-04',
    caught: /in the broker, the headers are what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => mapped(message, (name, value) => [name, value.normalize()])),
  },
  {
    name: 'cleans-headers',
    case: 'CON-05',
    caught: /are refused with INVALID: it was confirmed/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => {
        const clean = (text: string): string => text.toWellFormed().replace(/\p{Cc}/gu, '')
        const fine = Object.entries(message.headers).filter(([name]) => /^[a-z0-9][\w.-]{0,126}$/i.test(name))
        return { ...message, headers: Object.fromEntries(fine.map(([name, value]) => [name, clean(value)])) }
      }),
  },
  {
    name: 'lets-delete-through',
    case: 'CON-05',
    caught: /are refused with INVALID: it was confirmed/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => mapped(message, (name, value) => [name, value.replace('\u007f', '')])),
  },
  {
    name: 'refuses-the-neighbours',
    case: 'CON-05',
    caught: /a message beside one that is INVALID is confirmed/,
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const isBad = (message: OutboundMessage): boolean => '' in message.headers
          if (!batch.some(isBad)) return driver.publish(batch, settle, call)
          queueMicrotask(() => {
            for (const message of batch) {
              settle(message, { code: 'INVALID', retryable: false, maybeSent: false, scope: 'message' })
            }
          })
        },
      }),
  },
  {
    name: 'stringifies',
    case: 'CON-10',
    caught: /to another client, the body is what was sent/,
    sabotage: () => (driver) =>
      inbound(
        outbound(driver, (message) => ({
          ...message,
          body: ENCODER.encode(JSON.stringify(Buffer.from(message.body).toString('base64'))),
        })),
        (delivery, pass) => {
          const text = JSON.parse(DECODER.decode(delivery.body)) as string
          pass(changed(delivery, { body: Buffer.from(text, 'base64') }))
        },
      ),
  },
  {
    name: 'packs-headers-into-one',
    case: 'CON-10',
    caught: /to another client, each message is there once|to another client, the headers/,
    sabotage: () => (driver) =>
      inbound(
        outbound(driver, (message) => ({
          ...message,
          headers: { packed: encodeURI(JSON.stringify(message.headers)) },
        })),
        (delivery, pass) => {
          const headers = JSON.parse(decodeURI(delivery.headers.packed ?? '%7B%7D')) as Delivery['headers']
          pass(changed(delivery, { headers }))
        },
      ),
  },
  {
    name: 'forgets-content-type',
    case: 'CON-11',
    caught: /the content type is what was sent: expected "application\/json"/,
    sabotage: () => (driver) =>
      outbound(driver, (message) => ({ ...message, contentType: undefined as unknown as string })),
  },
  {
    name: 'takes-all-for-json',
    case: 'CON-11',
    caught: /delivered, the content type is what was sent/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => pass(changed(delivery, { contentType: 'application/json' }))),
  },
  {
    name: 'drops-key',
    case: 'CON-12',
    caught: /in the broker, the key is what was sent/,
    sabotage: () => (driver) => outbound(driver, ({ key: _, ...message }) => message),
  },
  {
    name: 'hashes-long-keys',
    case: 'CON-12',
    caught: /in the broker, the key is what was sent/,
    sabotage: () => (driver) =>
      outbound(driver, (message) =>
        message.key === undefined ? message : { ...message, key: message.key.slice(0, 128) },
      ),
  },
  {
    name: 'makes-up-a-key',
    case: 'CON-12',
    caught: /delivered, the key is what was sent: expected nothing/,
    sabotage: () => (driver) =>
      inbound(driver, (delivery, pass) => pass(changed(delivery, { key: delivery.key ?? '' }))),
  },
]

export const CONTENT: readonly Saboteur[] = [...CARRIED, ...HOSTILE]

function mapped<T extends Pick<OutboundMessage, 'headers'>>(
  message: T,
  change: (name: string, value: string) => [string, string],
): T {
  const headers = Object.fromEntries(Object.entries(message.headers).map((entry) => change(...entry)))
  return { ...message, headers }
}
