import type { Delivery, Destination } from '../driver.ts'
import { checkHeader, checkKey } from '../envelope.ts'
import type { ErrorCode } from '../errors.ts'
import { sizeOf } from '../message.ts'
import type { Encoded } from '../sender/buffer.ts'

/** What the header `notify-dead` of a dead letter holds, as JSON in ASCII. */
export interface DeadLetterNote {
  readonly code: ErrorCode
  readonly reason?: string | undefined
  /** Runs of the handler that failed, the largest number where several did. 0: none was run. */
  readonly attempts: number
  /** Absent: the default group. */
  readonly group?: string | undefined
  /** The destination that it was received from, such as `notifications.info`. */
  readonly from: string
  /** When it was given up: UTC, ISO 8601. */
  readonly at: string
  /** The handlers that failed for good, by their place among the listener's entries. */
  readonly handlers?: readonly {
    readonly index: number
    readonly event_type?: string | undefined
    readonly code: ErrorCode
    readonly reason?: string | undefined
    readonly attempts: number
  }[]
  /** Headers of the original that could not be sent on, at most 20 of them. */
  readonly omitted_headers?: readonly string[] | undefined
}

/** Why a message is given up. */
export type Verdict = Pick<DeadLetterNote, 'code' | 'reason' | 'attempts' | 'handlers'>

/** Where a message came from, and who could not handle it. */
export interface Origin {
  readonly source: Destination
  readonly group: string | undefined
  /** UTC, ISO 8601. */
  readonly at: string
}

/** What to send for a delivery: its bytes, key, content type and headers, and one header more. */
export function deadLetter(delivery: Delivery, verdict: Verdict, { source, group, at }: Origin): Encoded {
  const { headers, omitted } = legalHeaders(delivery.headers)
  const note: DeadLetterNote = {
    ...verdict,
    group,
    from: source.name,
    at,
    omitted_headers: omitted.length > 0 ? omitted.slice(0, 20) : undefined,
  }
  headers['notify-dead'] = ascii(note)
  const { body, contentType } = delivery
  const key = checkKey(delivery.key) ? undefined : delivery.key
  return {
    body,
    contentType: checkHeader('content-type', contentType)
      ? 'application/octet-stream'
      : (contentType as string),
    headers,
    key,
    size: sizeOf(body, headers, key),
  }
}

/** Leaves out what our own rule refuses. */
function legalHeaders(received: Readonly<Record<string, string>>): {
  headers: Record<string, string>
  omitted: string[]
} {
  const headers: Record<string, string> = {}
  const omitted: string[] = []
  for (const name of Object.keys(received ?? {})) {
    // The one of a dead letter that has died again gives way to ours, in whatever case it came.
    if (name.toLowerCase() === 'notify-dead') continue
    if (checkHeader(name, received[name]) === undefined) headers[name] = received[name] as string
    else omitted.push(name)
  }
  return { headers, omitted }
}

/** JSON that every transport can carry in a header. */
function ascii(note: DeadLetterNote): string {
  return JSON.stringify(note).replace(
    /[\x7f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
