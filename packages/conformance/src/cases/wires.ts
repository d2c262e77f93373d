/** What goes over the wire, and what becomes of a message when its answer does not come back. */
import type { Destination, OutboundMessage } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { truthful } from '../checks/truth.ts'
import type { Stored } from '../harness.ts'
import { idOf } from '../inbox.ts'
import { batchesOf, Link } from '../scenes/link.ts'
import { Sightings } from '../scenes/sightings.ts'
import { AT_ONCE_MS, type Trial } from '../trial.ts'

const LOST = { code: 'UNAVAILABLE', retryable: true } as const
const ONCE = 'a message goes over the wire once, whatever becomes of it'

export const WIRES: readonly Definition[] = [
  {
    id: 'CNF-04',
    title: 'MUST settle what was in flight at a cut as UNAVAILABLE, maybeSent, and send nothing again',
    needs: ['stored', 'address'],
    budgetMs: 30_000,
    async prove(trial) {
      const link = await Link.open(trial)
      const driver = await link.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      const calls = []
      const afterwards: string[] = []
      let written = 0
      for (let round = 0; round < 2; round++) {
        const batches = batchesOf(trial, 3, (count) => someOf(trial, orders, count))
        const sightings = new Sightings(link.wire.up, batches.flat())
        const loss = await link.loseAnswers(driver, batches)
        calls.push(...loss.calls)
        written += loss.written.length
        for (const call of loss.calls) {
          for (const message of call.batch) {
            const rule = 'what was in flight at a cut is UNAVAILABLE, to be tried again'
            trial.claims.failed(call.outcome(message), LOST, rule)
            if (!loss.written.includes(message)) continue
            const sent = 'what was written before a cut is settled as such'
            trial.claims.failed(call.outcome(message), { maybeSent: true }, sent)
          }
        }
        // Whatever waits for a connection to go out again has one now.
        const after = trial.message(orders)
        trial.confirmed(await trial.publish(driver, [after]), 'the next publish connects again')
        afterwards.push(after.id)
        await trial.quiet()
        trial.claims.sameIds(sightings.repeated, [], 'after a cut nothing is sent again')
      }
      const stored = await trial.storedIds(orders, written + afterwards.length + 1)
      truthful(trial.claims, calls, stored, 'after a cut')
      trial.claims.includes(stored, afterwards, 'after a cut, the broker has what is confirmed then')
      if (trial.harness.read === undefined) return
      const twice = stored.filter((id, index) => stored.indexOf(id) !== index)
      trial.claims.sameIds(twice, [], 'after a cut nothing is stored twice')
    },
  },
  {
    id: 'CNF-10',
    title: 'MUST settle once what is answered after timeoutMs: late and confirmed, or before, maybeSent',
    needs: ['stored', 'address'],
    budgetMs: 30_000,
    async prove(trial) {
      const link = await Link.open(trial)
      const { up, down } = link.wire
      const driver = await link.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      const timeoutMs = Math.ceil(trial.times.quietMs)

      // Nothing fires: the driver alone knows that the time is over.
      const patient = batchesOf(trial, 2, (count) => trial.messages(orders, count))
      const patientOut = new Sightings(up, patient.flat())
      down.hold()
      const { signal } = new AbortController()
      const calls = patient.map((batch) => trial.send(driver, batch, { timeoutMs, signal }))
      await patientOut.gone(trial.times.deliverMs)
      for (let rest = 0; rest < 2; rest++) await trial.quiet()
      for (const call of calls) {
        trial.claims.sameIds(idsOf(call.confirmed), [], 'nothing is confirmed before its answer')
      }
      down.release()
      for (const call of calls) {
        await trial.until(() => call.open.length === 0, 'an answer that comes late settles what is open')
        for (const outcome of call.outcomes) {
          if (outcome === 'confirmed') continue
          const rule = 'what is given up before its answer is settled as sent, perhaps'
          const { code } = trial.claims.failed(outcome, { maybeSent: true }, rule)
          trial.check(code === 'UNAVAILABLE' || code === 'DEADLINE', rule, `it is ${code}`)
        }
      }

      // The signal fires, as core's does.
      const hurried = batchesOf(trial, 2, (count) => trial.messages(orders, count))
      const hurriedOut = new Sightings(up, hurried.flat())
      down.hold()
      const ended = hurried.map((batch) => trial.send(driver, batch, { timeoutMs }))
      const written = await hurriedOut.gone(trial.times.deliverMs)
      for (const call of ended) {
        await trial.settled(call, timeoutMs + AT_ONCE_MS)
        for (const message of call.batch.filter((each) => written.includes(each))) {
          const rule = 'what is given up before its answer is settled as sent, perhaps'
          const { code } = trial.claims.failed(call.outcome(message), { maybeSent: true }, rule)
          trial.check(code === 'UNAVAILABLE' || code === 'DEADLINE', rule, `it is ${code}`)
        }
      }
      down.release()
      const after = trial.messages(orders, 3)
      for (const call of await trial.publishAll(driver, after)) {
        trial.confirmed(call, 'after late answers the next messages have their own')
      }
      await trial.quiet()
      for (const call of [...calls, ...ended]) {
        trial.claims.sameIds(call.settledAgain, [], 'what was settled before its answer is not settled again')
      }
      const sent = [...patient, ...hurried].flat()
      const stored = await trial.storedIds(orders, sent.length + after.length + 1)
      truthful(trial.claims, [...calls, ...ended], stored, 'answered late')
      trial.claims.includes(stored, idsOf(after), 'after late answers the broker has what is confirmed then')
    },
  },
  {
    id: 'RTY-01',
    title: 'MUST make one attempt per call: no message goes over the wire twice',
    needs: ['address'],
    budgetMs: 40_000,
    async prove(trial) {
      const link = await Link.open(trial)
      const proxy = link.wire
      const driver = await link.open()
      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      const watched = new Map<string, Sightings>()
      const some = (how: string, to: Destination = orders): OutboundMessage[][] => {
        const batches = batchesOf(trial, 3, (count) => someOf(trial, to, count))
        watched.set(how, new Sightings(proxy.up, batches.flat()))
        return batches
      }

      for (const batch of some('healthy')) trial.confirmed(await trial.publish(driver, batch))
      const { seen } = watched.get('healthy') as Sightings
      if (seen.length === 0) throw new Error('no body was recognized on the wire')

      const loss = await link.loseAnswers(driver, some('cut'))
      for (const call of loss.calls) {
        for (const outcome of call.outcomes)
          trial.claims.failed(outcome, LOST, 'a lost message is not retried inside')
      }
      trial.confirmed(await trial.publish(driver, [trial.message(orders)]), 'the next publish connects again')

      const silent = some('unanswered')
      proxy.down.hold()
      const { signal } = new AbortController()
      const timeoutMs = Math.ceil(trial.times.quietMs)
      const calls = silent.map((batch) => trial.send(driver, batch, { timeoutMs, signal }))
      await (watched.get('unanswered') as Sightings).gone(trial.times.deliverMs)
      for (let rest = 0; rest < 3; rest++) await trial.quiet()
      proxy.down.release()
      for (const call of calls) await trial.settled(call)

      if (trial.harness.faults?.refuse !== undefined) {
        const full = await trial.destination('full')
        await trial.confirm(driver, [trial.message(full)])
        await trial.fault('refuse', full)
        for (const batch of some('refused', full)) await trial.publish(driver, batch)
      }

      const unsent = some('unreachable')
      await proxy.refuse()
      await link.cut()
      for (const batch of unsent) {
        const call = await trial.publish(driver, batch)
        for (const outcome of call.outcomes)
          trial.claims.failed(outcome, LOST, 'what cannot be sent is UNAVAILABLE')
      }
      await proxy.accept()
      trial.confirmed(await trial.publish(driver, [trial.message(orders)]), 'the next publish connects again')
      await trial.quiet()

      for (const [how, sightings] of watched) {
        trial.claims.sameIds(sightings.repeated, [], `${ONCE}: ${how}`)
      }
      const late = (watched.get('unreachable') as Sightings).seen
      trial.claims.sameIds(idsOf(late), [], 'what could not be sent is not sent later')
    },
  },
  {
    id: 'DUP-01',
    title:
      'MUST publish what is tried again after a lost answer with the same id and bytes, as one where it deduplicates',
    needs: ['stored', 'cut'],
    budgetMs: 30_000,
    exclusive: true,
    async prove(trial) {
      const link = await Link.open(trial)
      const driver = await link.open()
      const orders = await trial.destination()
      const first = trial.message(orders)
      await trial.confirm(driver, [first])
      const batches = batchesOf(trial, 3, (count) => someOf(trial, orders, count))
      const sent = batches.flat()
      await link.loseAnswers(driver, batches)
      // As core does: new messages, of which everything is the same. And once more, for what comes to it late.
      for (let again = 0; again < 2; again++) {
        for (const batch of batches) {
          const call = await trial.publish(
            driver,
            batch.map((message) => ({ ...message })),
          )
          trial.confirmed(call, 'what is tried again after a lost answer is confirmed')
        }
      }
      const deduplicates = trial.capabilities.deduplication !== false
      const stored = await trial.stored(orders, (deduplicates ? 1 : 2) * sent.length + 1)
      const ids = stored.map(({ body }) => idOf(body) ?? '?')
      const all = idsOf([first, ...sent])
      trial.claims.sameSet(ids, all, 'what is tried again is there, under its own id')
      if (deduplicates)
        trial.claims.sameIds(ids, all, 'where it deduplicates, what is tried again is stored once')
      for (const message of sent) {
        for (const each of stored.filter(({ body }) => idOf(body) === message.id)) same(trial, each, message)
      }
    },
  },
]

/** Bodies of several sizes, each its own. */
function someOf(trial: Trial, orders: Destination, count: number): OutboundMessage[] {
  const { maxMessageBytes, maxBatchBytes } = trial.capabilities
  const most = Math.min(maxMessageBytes - 500, Math.floor(maxBatchBytes / count) - 500)
  return trial.messages(orders, count, (index) => ({
    size: Math.min(most, [100, 3_000, 40_000][index % 3] as number),
    headers: { place: String(index) },
    ...(index % 2 === 0 ? {} : { key: `key-${index}` }),
  }))
}

function same(trial: Trial, stored: Stored, message: OutboundMessage): void {
  trial.claims.bytes(stored.body, message.body, 'a duplicate has the same bytes')
  trial.claims.headers(stored.headers, { ...message.headers }, 'a duplicate has the same headers')
  trial.claims.equal(stored.key, message.key, 'a duplicate has the same key')
  trial.claims.equal(stored.contentType, message.contentType, 'a duplicate has the same content type')
}
