import type { Driver, ErrorCode, Failure, OutboundMessage } from '@notify/core'
import type { OpenOptions } from '../harness.ts'
import { Inbox } from '../inbox.ts'
import { ABORTED, type Trial } from '../trial.ts'
import { nobody } from './nobody.ts'

/** A failure, and how it came about. */
export interface Provoked {
  /** `a header with a line feed`. */
  readonly what: string
  readonly failure: unknown
  /** A rejection may be of any class; what is settled or told is plain data. What is said need be no failure. */
  readonly how: 'settled' | 'rejected' | 'told' | 'said'
  /** What it must be. Absent: that is another case's to say. */
  readonly expected?: Partial<Failure>
}

/** More is not tried: a message has to be made for it. */
const MOST_BYTES = 80 * 2 ** 20

/** All the trouble that can be made with a driver and its harness, without breaking what others use. */
export async function provoke(trial: Trial, options: OpenOptions = {}): Promise<Provoked[]> {
  const found: Provoked[] = []
  const driver = await trial.open(options)
  driver.observe?.(({ state, failure }) => {
    if (failure !== undefined) found.push({ what: `the status ${state}`, failure, how: 'told' })
  })
  await badMessages(trial, driver, found)
  if (trial.subscribes) await refusedSubscriptions(trial, driver, found)
  if (trial.canSee) await missingDestination(trial, options, found)
  if (trial.harness.faults?.refuse !== undefined) await refusedByBroker(trial, driver, found)
  if (trial.harness.broker.address !== undefined) await nobodyThere(trial, options, found)
  await trial.close(driver)
  await closed(trial, driver, found)
  return found
}

async function badMessages(trial: Trial, driver: Driver, found: Provoked[]): Promise<void> {
  const orders = await trial.destination('bad')
  const { maxMessageBytes } = trial.capabilities
  const bad = (code: ErrorCode) => ({ code, retryable: false, maybeSent: false, scope: 'message' }) as const
  const invalid = { 'a value with a line feed': { name: 'a\nb' }, 'a name with a blank': { 'a b': '' } }
  for (const [what, headers] of Object.entries(invalid)) {
    await publish(
      trial,
      driver,
      trial.message(orders, { headers }),
      { what, expected: bad('INVALID') },
      found,
    )
  }
  if (maxMessageBytes <= MOST_BYTES) {
    const message = trial.message(orders, { size: maxMessageBytes + 1 })
    await publish(trial, driver, message, { what: 'too many bytes', expected: bad('TOO_LARGE') }, found)
  }
  const aborted = { what: 'a signal that has fired', expected: ABORTED }
  const signal = AbortSignal.abort(ABORTED)
  await publish(trial, driver, trial.message(orders), aborted, found, signal)
}

async function refusedSubscriptions(trial: Trial, driver: Driver, found: Provoked[]): Promise<void> {
  const orders = await trial.destination('refused')
  const signal = AbortSignal.abort(ABORTED)
  const { error } = await trial.trySubscribe(driver, orders, { signal })
  const expected = { code: 'ABORTED' } as const
  found.push({ what: 'a subscribe whose signal has fired', failure: error, how: 'rejected', expected })
  for (const { what, options } of ruledOut(trial)) {
    const refused = await trial.trySubscribe(driver, orders, options)
    const unsupported = { code: 'UNSUPPORTED', retryable: false } as const
    found.push({ what, failure: refused.error, how: 'rejected', expected: unsupported })
  }
}

/** What a subscribe may not ask for, by the capabilities. */
export function ruledOut({
  capabilities: { groups, history },
}: Trial): { readonly what: string; readonly options: { group?: string; from?: 'earliest' } }[] {
  const group = groups ? { group: 'audit' } : {}
  return [
    ...(groups ? [] : [{ what: 'a group without groups', options: { group: 'audit' } }]),
    ...(history
      ? []
      : [{ what: "from: 'earliest' without history", options: { ...group, from: 'earliest' as const } }]),
  ]
}

async function missingDestination(trial: Trial, options: OpenOptions, found: Provoked[]): Promise<void> {
  const driver = await trial.open({ ...options, topology: 'none' })
  const missing = await trial.destination('missing')
  const expected = { code: 'UNROUTABLE', retryable: false, maybeSent: false, scope: 'destination' } as const
  await publish(
    trial,
    driver,
    trial.message(missing),
    { what: 'a destination that is missing', expected },
    found,
  )
  if (!trial.subscribes) return
  const { error } = await trial.trySubscribe(driver, missing)
  const what = 'a subscribe to what is missing'
  found.push({
    what,
    failure: error,
    how: 'rejected',
    expected: { code: 'UNROUTABLE', scope: 'destination' },
  })
}

async function refusedByBroker(trial: Trial, driver: Driver, found: Provoked[]): Promise<void> {
  const full = await trial.destination('full')
  await trial.fault('refuse', full)
  // A stream that is not read back breaks, where a broker would say no.
  const expected = trial.canSee ? ({ code: 'THROTTLED', retryable: true } as const) : { retryable: true }
  await publish(trial, driver, trial.message(full), { what: 'a full destination', expected }, found)
}

async function nobodyThere(trial: Trial, options: OpenOptions, found: Provoked[]): Promise<void> {
  const address = await nobody(trial)
  const driver = await trial.open({ ...options, address })
  const orders = await trial.destination('nobody')
  const expected = { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' } as const
  await publish(trial, driver, trial.message(orders), { what: DEAD, expected }, found)
  const { failure } = await trial.health(driver)
  if (failure !== undefined) found.push({ what: 'health of a dead address', failure, how: 'told' })
  if (!trial.subscribes) return
  const { error } = await trial.trySubscribe(driver, orders)
  const what = 'a subscribe to a dead address'
  found.push({ what, failure: error, how: 'rejected', expected: { code: 'UNAVAILABLE', scope: 'transport' } })
}

/** A publish to where nobody listens: behind its failure there is an error of the system's. */
export const DEAD = 'a publish to a dead address'

async function closed(trial: Trial, driver: Driver, found: Provoked[]): Promise<void> {
  const orders = await trial.destination('closed')
  const expected = { code: 'CLOSED', retryable: false, maybeSent: false } as const
  await publish(trial, driver, trial.message(orders), { what: 'a publish after close', expected }, found)
  const { failure } = await trial.health(driver)
  if (failure !== undefined) found.push({ what: 'health after close', failure, how: 'told' })
  if (!trial.subscribes) return
  const { error } = await trial.trySubscribe(driver, orders, {}, new Inbox(orders))
  found.push({
    what: 'a subscribe after close',
    failure: error,
    how: 'rejected',
    expected: { code: 'CLOSED' },
  })
}

async function publish(
  trial: Trial,
  driver: Driver,
  message: OutboundMessage,
  { what, expected }: Pick<Provoked, 'what'> & { readonly expected: Partial<Failure> },
  found: Provoked[],
  signal?: AbortSignal,
): Promise<void> {
  const call = await trial.publish(driver, [message], signal === undefined ? {} : { signal })
  const outcome = call.outcome(message)
  const failure = outcome === 'confirmed' ? undefined : outcome
  found.push({ what, failure, how: 'settled', expected })
}
