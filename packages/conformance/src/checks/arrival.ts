/** Whether what was found, in the broker or by delivery, is what was sent. */
import type { Delivery, Destination, Driver, OutboundMessage } from '@notify/core'
import { type Inbox, idOf } from '../inbox.ts'
import type { Trial } from '../trial.ts'

/** What a message carries, at rest as well as on its way. */
export type Carried = Pick<Delivery, 'body' | 'contentType' | 'headers' | 'key'>

/** By what a message is known. Default: by its body. */
export type NameOf = (message: Carried) => string

const byBody: NameOf = ({ body }) => idOf(body) ?? '?'
/** For messages whose body cannot say it. */
export const byHeader: NameOf = ({ headers }) => (hasHeaders(headers) && headers[NAME]) || '?'
export const NAME = 'name'

/** Each message is there, once, with all that it carried and nothing more. `where` begins the rule. */
export function arrived(
  { claims }: Trial,
  found: readonly Carried[],
  sent: readonly Carried[],
  where: string,
  nameOf: NameOf = byBody,
): void {
  claims.sameIds(found.map(nameOf), sent.map(nameOf), `${where}, each message is there once`)
  const expected = new Map(sent.map((message) => [nameOf(message), message]))
  for (const { body, headers, contentType, key, ...rest } of found) {
    claims.check(body instanceof Uint8Array, `${where}, a body is bytes`, typeof body)
    claims.check(hasHeaders(headers), `${where}, headers are an object`, typeof headers)
    const original = expected.get(nameOf({ body, headers, ...rest })) as Carried
    claims.bytes(body, original.body, `${where}, the body is what was sent`)
    claims.headers(headers, { ...original.headers }, `${where}, the headers are what was sent`)
    claims.equal(contentType, original.contentType, `${where}, the content type is what was sent`)
    claims.equal(key, original.key, `${where}, the key is what was sent`)
  }
}

/** The same of a subscription, when all has come. Each delivery says where it came from. */
export async function delivered(
  trial: Trial,
  inbox: Inbox,
  sent: readonly OutboundMessage[],
  nameOf: NameOf = byBody,
): Promise<void> {
  await trial.has(inbox, sent.length)
  arrived(trial, inbox.deliveries, sent, 'delivered', nameOf)
  for (const { destination } of inbox.deliveries) {
    for (const field of ['topic', 'priority', 'name'] as const) {
      const rule = `a delivery has the ${field} that was subscribed to`
      trial.claims.equal(destination?.[field], inbox.destination[field], rule)
    }
  }
}

export interface Ends {
  /** Default: all must be confirmed, in calls as large as may be. */
  readonly publish?: (driver: Driver, messages: readonly OutboundMessage[]) => Promise<unknown>
  readonly nameOf?: NameOf
  /** Tells this from other uses within one case. */
  readonly hint?: string
}

/**
 * Publishes what `make` makes, twice: what lies in the broker is as it was sent, and what is delivered too. Two
 * faults that undo each other are seen that way.
 */
export async function atBothEnds(
  trial: Trial,
  make: (destination: Destination) => readonly OutboundMessage[],
  {
    publish = (driver, messages) => trial.confirm(driver, messages),
    nameOf = byBody,
    hint = 'orders',
  }: Ends = {},
): Promise<void> {
  const driver = await trial.open()
  const rest = await trial.destination(`${hint}-at-rest`)
  const kept = make(rest)
  await publish(driver, kept)
  arrived(trial, await trial.stored(rest, kept.length), kept, 'in the broker', nameOf)

  if (!trial.subscribes) return
  const onward = await trial.destination(`${hint}-onward`)
  const inbox = await trial.subscribe(await trial.open(), onward)
  const sent = make(onward)
  await publish(driver, sent)
  await delivered(trial, inbox, sent, nameOf)
}

const ENCODER = new TextEncoder()

/** What counts against `maxMessageBytes`. */
export function bytesOf({ body, headers, key = '' }: Carried): number {
  const texts = [key, ...Object.entries(headers).flat()]
  return texts.reduce((size, text) => size + ENCODER.encode(text).length, body.length)
}

function hasHeaders(headers: unknown): headers is Readonly<Record<string, string>> {
  return typeof headers === 'object' && headers !== null
}
