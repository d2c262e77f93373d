/** What a driver says when something cannot be. */
import type { Failure } from '@notify/core'
import type { Definition } from '../case.ts'
import { classOf, findSecret, flawOf } from '../checks/failures.ts'
import { show } from '../claims.ts'
import { DEAD, type Provoked, provoke } from '../scenes/provoked.ts'
import type { Trial } from '../trial.ts'

export const ERRORS: readonly Definition[] = [
  {
    id: 'ERR-01',
    title: 'MUST fail with whole failures: plain data, with codes of the closed set that say what happened',
    needs: [],
    budgetMs: 60_000,
    async prove(trial) {
      const found = await provoke(trial)
      await endOfWhatIsRemoved(trial, found)
      for (const each of found) {
        isWhole(trial, each)
        const { what, failure, expected = {} } = each
        const fields = failure as Readonly<Record<string, unknown>>
        const differences = Object.entries(expected)
          .filter(([name, value]) => fields[name] !== value)
          .map(([name, value]) => `${name} is ${show(fields[name])}, not ${show(value)}`)
        const rule = 'a failure says what happened'
        trial.check(differences.length === 0, rule, `${what}: ${differences.join(', ')}`)
      }
    },
  },
  {
    id: 'ERR-11',
    title: 'MUST fail so that any copy of core understands it, with the native cause and without any secret',
    needs: [],
    budgetMs: 60_000,
    async prove(trial) {
      const secret = `conformance${trial.random.between(2 ** 29, 2 ** 30)}secret`
      const found = await provoke(trial, { password: secret })
      await withPassword(trial, secret, found)
      for (const each of found) {
        const { what, failure } = each
        const path = findSecret(failure, secret)
        const rule = 'nothing that a driver says holds a secret, at any depth'
        trial.check(path === undefined, rule, `${what}, at ${path}`)
        if (each.how === 'said') continue
        isWhole(trial, each)
        if (what !== DEAD) continue
        const { cause } = failure as Failure
        const native = typeof cause === 'object' && cause !== null && 'message' in cause
        trial.check(native, 'a failure keeps the native error as its cause', `${what}: ${show(cause)}`)
      }
    },
  },
]

/** Complete, and as any copy of core would take it. */
function isWhole(trial: Trial, { what, failure, how }: Provoked): void {
  trial.check(failure !== undefined, 'what cannot be done fails', `${what} did not`)
  const flaw = flawOf(failure)
  trial.check(flaw === undefined, 'a failure is whole, with a code of the closed set', `${what}: ${flaw}`)
  const alien = how === 'rejected' ? undefined : classOf(failure)
  trial.check(alien === undefined, 'a failure is plain data', `${what}: ${alien}`)
}

/** An administrator deletes what is consumed. A client may keep its subscription all the same. */
async function endOfWhatIsRemoved(trial: Trial, found: Provoked[]): Promise<void> {
  if (trial.harness.faults?.remove === undefined || !trial.subscribes) return
  const orders = await trial.destination('removed')
  const inbox = await trial.subscribe(await trial.open(), orders)
  await trial.fault('remove', orders)
  await trial.quiet()
  if (inbox.end === undefined) return
  found.push({ what: 'the end of a subscription to what was removed', failure: inbox.end, how: 'told' })
}

/** At the broker itself, which may or may not take the password. */
async function withPassword(trial: Trial, password: string, found: Provoked[]): Promise<void> {
  const driver = await trial.open({ password })
  const orders = await trial.destination('password')
  const message = trial.message(orders)
  const outcome = (await trial.publish(driver, [message])).outcome(message)
  if (typeof outcome === 'object') {
    found.push({ what: 'a publish with a password', failure: outcome, how: 'settled' })
  }
  const health = await trial.health(driver)
  found.push({ what: 'health with a password', failure: health, how: 'said' })
  if (!trial.subscribes) return
  const { error } = await trial.trySubscribe(driver, orders)
  if (error !== undefined) {
    found.push({ what: 'a subscribe with a password', failure: error, how: 'rejected' })
  }
}
