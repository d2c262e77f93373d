/** What could be taken for syntax. */
import type { Destination, Driver, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { arrived, delivered } from '../checks/arrival.ts'
import { show } from '../claims.ts'
import type { Inbox } from '../inbox.ts'
import { beside } from '../scenes/samples.ts'
import type { Trial } from '../trial.ts'
import { ACTED_ON, BREAKERS } from './texts.ts'

export const SYNTAX: readonly Definition[] = [
  {
    id: 'SEC-03',
    title:
      'MUST carry as data, or refuse with INVALID, what could be taken for syntax; nothing goes elsewhere',
    needs: ['stored'],
    budgetMs: 60_000,
    async prove(trial) {
      const driver = await trial.open()
      const rest = await trial.destination('at-rest')
      const kept = await takenOrRefused(trial, driver, breaking(trial, rest))
      arrived(trial, await trial.stored(rest, kept.length), kept, 'in the broker')
      if (trial.subscribes) {
        const onward = await trial.destination('onward')
        const inbox = await trial.subscribe(driver, onward)
        await delivered(trial, inbox, await takenOrRefused(trial, driver, breaking(trial, onward)))
      }
      await nothingElsewhere(trial, driver)
      await doesNothing(trial, driver)
    },
  },
]

/** Messages with what ends a line or a text, or stands for more than itself, in every place but the topic. */
function breaking(trial: Trial, destination: Destination): OutboundMessage[] {
  return BREAKERS.flatMap((text) => {
    const plain = trial.message(destination)
    return [
      trial.message(destination, { headers: { text: `a${text}b` } }),
      trial.message(destination, { key: `a${text}b` }),
      { ...plain, id: `${plain.id}${text}b`, dedupId: `${plain.id}${text}b/${destination.name}` },
    ]
  })
}

/** Each is confirmed, or INVALID. Gives what was confirmed. */
async function takenOrRefused(
  trial: Trial,
  driver: Driver,
  messages: readonly OutboundMessage[],
): Promise<OutboundMessage[]> {
  const calls = await trial.publishAll(driver, messages)
  for (const call of calls) {
    for (const message of call.failed) {
      const rule = `${show(message.id)}, ${show(message.key)} to ${show(message.destination.name)} is carried or INVALID`
      trial.claims.failed(call.outcome(message), { code: 'INVALID', maybeSent: false }, rule)
    }
  }
  return calls.flatMap((call) => call.confirmed)
}

/** A topic that looks like a pattern, or like another one with something in it, is neither. */
async function nothingElsewhere(trial: Trial, driver: Driver): Promise<void> {
  const { topic, ...rest } = await trial.destination('topic')
  const named = (end: string): Destination => beside({ topic, ...rest }, `${topic}${end}`)
  const strange = BREAKERS.flatMap((text) => [named(text), named(`${text}b`)])
  const published = strange.map((destination) => takenOrRefused(trial, driver, [trial.message(destination)]))
  const took = (await Promise.all(published)).flat()
  const listening: Inbox[] = []
  if (trial.subscribes) {
    for (const text of ['.*', '.#', '.>', '*', '>', '#']) {
      const { value, error } = await trial.trySubscribe(driver, named(`.sub${text}`))
      if (value !== undefined) listening.push(value)
      else {
        const rule = 'a subscription to a topic with a character that has a meaning is opened, or INVALID'
        trial.claims.equal((error as { code?: string } | undefined)?.code, 'INVALID', rule)
      }
    }
  }

  const innocent = ['', 'b', '.b', '.a', '.a.b', '.sub', '.sub.a', '.sub.a.b'].map(named)
  const sent = innocent.map((destination) => trial.messages(destination, 2))
  await Promise.all(sent.map((messages) => trial.confirm(driver, messages)))
  const stored = await Promise.all(innocent.map((destination) => trial.storedIds(destination, 2)))
  for (const [index, ids] of stored.entries()) {
    trial.claims.sameIds(
      ids,
      idsOf(sent[index] ?? []),
      'a topic holds what is its own, whatever others are called',
    )
  }
  const lying = await Promise.all(took.map(({ destination }) => trial.storedIds(destination, 1)))
  for (const [index, { id, destination }] of took.entries()) {
    const rule = `the topic ${show(destination.topic)} holds what is its own`
    trial.claims.sameIds(lying[index] ?? [], [id], rule)
  }
  for (const { deliveries } of listening) {
    trial.claims.equal(deliveries.length, 0, 'a topic is no pattern, whatever characters it has')
  }
}

/** Headers that a broker acts on under their own name arrive under it, and nothing has come of them. */
async function doesNothing(trial: Trial, driver: Driver): Promise<void> {
  const [rest, onward] = [await trial.destination('acted-on'), await trial.destination('acted-on-onward')]
  const copied = await trial.destination('copied')
  const own = trial.message(copied)
  await trial.confirm(driver, [own])
  const inbox = trial.subscribes ? await trial.subscribe(driver, onward) : undefined
  for (const destination of [rest, onward]) {
    const headers = [['CC', copied.name], ['BCC', copied.name], ...ACTED_ON] as const
    const sent = headers.map(([name, value]) => trial.message(destination, { headers: { [name]: value } }))
    await trial.confirm(driver, sent)
    if (destination === rest)
      arrived(trial, await trial.stored(rest, sent.length), sent, 'with a name that acts')
    else if (inbox !== undefined) await delivered(trial, inbox, sent)
  }
  if (trial.capabilities.deliveryCount) {
    for (const { deliveries } of inbox?.deliveries ?? []) {
      trial.claims.equal(deliveries, 1, 'no header is taken for the count of deliveries')
    }
  }
  trial.claims.sameIds(await trial.storedIds(copied, 1), [own.id], 'no header sends a copy elsewhere')
}
