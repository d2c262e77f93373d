/** Messages that are refused for what they are, among others that are not. */
import type { Destination, Failure, OutboundMessage } from '@notify/core'
import type { Trial } from '../trial.ts'

/** A kind of message that nothing will ever take. */
export interface Refusal {
  readonly name: string
  readonly fields: Partial<OutboundMessage>
  /** As what it is refused, where that is for the driver to say. */
  readonly failure: Partial<Failure>
}

/** To make one that is larger than what is larger than this costs more than it proves. */
const LARGEST = 128 * 2 ** 20
const FINAL = { retryable: false, maybeSent: false, scope: 'message' } as const

/** What every driver refuses by itself. */
export function refusals({ capabilities }: Trial): Refusal[] {
  const { maxMessageBytes } = capabilities
  const invalid: Refusal = {
    name: 'a header that is none',
    fields: { headers: { 'not a name': 'value' } },
    failure: { ...FINAL, code: 'INVALID' },
  }
  if (maxMessageBytes > LARGEST) return [invalid]
  const oversize: Refusal = {
    name: 'one byte too many',
    fields: { body: new Uint8Array(maxMessageBytes + 1) },
    failure: { ...FINAL, code: 'TOO_LARGE' },
  }
  return [oversize, invalid]
}

/** So many messages, those at `places` refused. */
export function mixed(
  trial: Trial,
  destination: Destination,
  count: number,
  places: readonly number[],
  { fields }: Refusal,
): OutboundMessage[] {
  return trial.messages(destination, count, (index) => (places.includes(index) ? fields : {}))
}
