/** From the factory to close. */
import type { Health } from '@notify/core'
import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { canonical, checkPlain, unfitIn } from '../checks/capabilities.ts'
import { sendTogether } from '../scenes/together.ts'
import { ABORTED, AT_ONCE_MS, type Trial } from '../trial.ts'
import { firesAfter, until } from '../wait.ts'

export const LIFECYCLE: readonly Definition[] = [
  {
    id: 'LIF-01',
    title: 'MUST give a fresh, isolated driver with every call of the factory',
    needs: [],
    budgetMs: 20_000,
    async prove(trial) {
      const orders = await trial.destination()
      const [first, second] = [await trial.open(), await trial.open()]
      trial.check(first !== second, 'the factory gives a new driver each time')
      const consumes = trial.subscribes && !trial.capabilities.discards
      const inbox = consumes ? await trial.subscribe(second, orders) : undefined
      for (const driver of [first, second]) await trial.confirm(driver, [trial.message(orders)])

      const underWay = sendTogether(trial, second, trial.messages(orders, 20), { most: 5 })
      await trial.close(first)
      for (const call of underWay) {
        await trial.settled(call)
        trial.confirmed(call, 'what one driver has under way is confirmed while another one is closed')
      }
      const third = await trial.open()
      trial.check(third !== first && third !== second, 'the factory gives a new driver each time')
      const last = trial.message(orders)
      trial.confirmed(
        await trial.publish(third, [last]),
        'a driver opened after another one was closed works',
      )
      const call = await trial.publish(second, [trial.message(orders)])
      trial.confirmed(call, 'a driver works after another one was closed')
      trial.check((await trial.health(second)).ok, 'a driver is well after another one was closed')
      const late = await trial.publish(first, [trial.message(orders)])
      const closed = { code: 'CLOSED' } as const
      trial.claims.failed(late.outcome(0), closed, 'a closed driver stays closed, whichever are opened')
      if (inbox === undefined) return
      const goesOn = 'a subscription goes on after another driver was closed'
      trial.check(inbox.end === undefined, goesOn, 'it ended')
      await trial.until(() => inbox.of(last.id).length > 0, goesOn)
    },
  },
  {
    id: 'LIF-02',
    title: 'MUST have capabilities that are frozen plain data, equal for equal options',
    needs: [],
    budgetMs: 10_000,
    async prove(trial) {
      const { claims } = trial
      const [driver, other] = [await trial.open(), await trial.open()]
      const { capabilities } = driver
      trial.check(driver.contract === 1, 'a driver states the contract that it was written for')
      trial.check(/^\S+$/.test(driver.name), 'a driver has a name', JSON.stringify(driver.name))
      claims.equal(other.name, driver.name, 'equal options give equal names')
      checkPlain(trial.claims, 'capabilities', capabilities)
      const unfit = unfitIn(capabilities)
      trial.check(
        unfit.length === 0,
        'capabilities are complete',
        `not as they should be: ${unfit.join(', ')}`,
      )
      const before = canonical(capabilities)
      claims.equal(canonical(other.capabilities), before, 'equal options give equal capabilities')

      const orders = await trial.destination()
      await trial.confirm(driver, [trial.message(orders)])
      await trial.health(driver)
      if (trial.subscribes) await trial.subscribe(driver, orders)
      claims.equal(canonical(driver.capabilities), before, 'capabilities follow from the options alone')
      await trial.close(driver)
      claims.equal(canonical(driver.capabilities), before, 'capabilities follow from the options alone')
      claims.equal(
        canonical((await trial.open()).capabilities),
        before,
        'equal options give equal capabilities',
      )
      checkPlain(trial.claims, 'capabilities', driver.capabilities)
    },
  },
  {
    id: 'LIF-03',
    title:
      'MUST connect to nothing until it is used; the first call of any kind connects, with none before it',
    needs: ['address'],
    budgetMs: 20_000,
    async prove(trial) {
      const proxy = await trial.proxy()
      const open = () => trial.open({ address: proxy.address })
      const [publisher, asked, consumer, unused] = [await open(), await open(), await open(), await open()]
      for (const driver of [publisher, asked, consumer, unused]) driver.observe?.(() => {})
      await trial.quiet()
      trial.claims.equal(proxy.accepted, 0, 'creating a driver connects to nothing')
      await trial.close(unused)
      trial.claims.equal(proxy.accepted, 0, 'closing a driver that was not used connects to nothing')

      const orders = await trial.destination()
      const message = trial.message(orders)
      trial.confirmed(await trial.publish(publisher, [message]), 'the first publish connects by itself')
      trial.check(proxy.accepted > 0, 'a driver opened at an address uses that address')
      let before = proxy.accepted
      const { ok, failure } = await trial.health(asked)
      trial.check(ok, 'the first health connects by itself', failure?.code)
      trial.check(proxy.accepted > before, 'health asks the broker, not the driver')
      if (!trial.subscribes) return
      before = proxy.accepted
      const inbox = await trial.subscribe(consumer, orders)
      trial.check(proxy.accepted > before, 'the first subscribe connects by itself')
      if (!trial.capabilities.discards) await trial.has(inbox, 1)
    },
  },
  {
    id: 'LIF-04',
    title: 'MUST settle with UNAVAILABLE, and answer health, within timeoutMs where nobody listens',
    needs: ['address'],
    budgetMs: 40_000,
    async prove(trial) {
      const proxy = await trial.proxy()
      await proxy.refuse()
      const driver = await trial.open({ address: proxy.address })
      const orders = await trial.destination()
      const expected = { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' } as const
      // The second round finds a driver that has failed before.
      for (let round = 0; round < 2; round++) {
        // Its signal is later: the driver itself has to watch the time.
        const options = { timeoutMs: DEAD_MS, signal: firesAfter(3 * DEAD_MS) }
        const messages = trial.messages(orders, 3)
        const calls = sendTogether(trial, driver, messages, { ...options, most: 2 })
        for (const call of calls) {
          const rule = 'where nobody listens, each message is settled within timeoutMs'
          await trial.ends(() => call.settled, DEAD_MS + AT_ONCE_MS, rule)
          for (const outcome of call.outcomes) {
            trial.claims.failed(outcome, expected, 'where nobody listens, messages fail with what that is')
          }
        }
        const call = { timeoutMs: DEAD_MS, signal: firesAfter(3 * DEAD_MS) }
        const rule = 'where nobody listens, health resolves within timeoutMs'
        const health = await trial.ends(() => driver.health(call), DEAD_MS + AT_ONCE_MS, rule)
        trial.check(!health.ok, 'where nobody listens, health is not ok')
      }
      await trial.close(driver)
    },
  },
  {
    id: 'LIF-05',
    title: 'MUST resolve health in every state: up, down, silent, blocked, closing, closed',
    needs: [],
    budgetMs: 40_000,
    exclusive: true,
    async prove(trial) {
      const { address } = trial.harness.broker
      const proxy = address === undefined ? undefined : await trial.proxy()
      const open = () => trial.open(proxy === undefined ? {} : { address: proxy.address })
      const [driver, other] = [await open(), await open()]
      const orders = await trial.destination()
      for (const each of [driver, other]) await trial.confirm(each, [trial.message(orders)])
      checkHealth(trial, await trial.health(driver), true, 'health is ok while messages can be sent')
      await askUnderFiredSignal(trial, () => driver.health({ timeoutMs: 5_000, signal: FIRED }))

      if (proxy !== undefined) {
        proxy.blackHole()
        checkHealth(
          trial,
          await trial.health(driver, 500),
          false,
          'health is not ok while the broker is silent',
        )
        await proxy.refuse()
        proxy.cut()
        checkHealth(trial, await trial.health(driver), false, 'health is not ok while there is no connection')
        proxy.heal()
        await proxy.accept()
      } else if (trial.harness.faults?.pause !== undefined && trial.harness.faults.resume !== undefined) {
        await trial.fault('pause')
        trial.after(() => trial.fault('resume'))
        const health = await trial.health(driver, 500)
        // A stream that is slow looks like one that is silent to whoever writes to it.
        checkHealth(
          trial,
          health,
          trial.canSee ? false : health.ok,
          'health is not ok while the broker is silent',
        )
        await trial.fault('resume')
      }

      if (trial.harness.faults?.block !== undefined && trial.harness.faults.unblock !== undefined) {
        await trial.fault('block')
        trial.after(() => trial.fault('unblock'))
        // Not every client hears of an alarm before it publishes.
        await trial.health(driver)
        await trial.fault('unblock')
      }
      const closing = trial.close(other)
      await trial.health(other)
      await closing
      await trial.close(driver)
      for (const each of [other, driver, driver]) {
        checkHealth(trial, await trial.health(each), false, 'health is not ok after close')
      }
      await askUnderFiredSignal(trial, () => driver.health({ timeoutMs: 5_000, signal: FIRED }))
      const unused = await trial.open()
      await trial.close(unused)
      checkHealth(trial, await trial.health(unused), false, 'health is not ok after close')
    },
  },
  {
    id: 'LIF-06',
    title: 'MUST open no consumer for publishing',
    needs: ['stored'],
    budgetMs: 20_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const reader = trial.harness.read === undefined ? undefined : await trial.reader(orders)
      const rule = 'publishing opens no consumer'
      const published = trial.messages(orders, 30)
      for (let start = 0; start < published.length; start += 10) {
        await trial.confirm(driver, published.slice(start, start + 10))
        await trial.health(driver)
        if (reader !== undefined) trial.claims.equal(await reader.consumers(), 0, rule)
      }
      if (reader !== undefined) {
        const came = await until(async () => (await reader.consumers()) > 0, trial.times.quietMs)
        trial.check(!came, rule)
      }
      const stored = await trial.storedIds(orders, published.length)
      trial.claims.includes(stored, idsOf(published), 'what is published is left for whoever consumes')
    },
  },
  {
    id: 'LIF-08',
    title: 'MUST resolve a second close, one at the same time included',
    needs: [],
    budgetMs: 40_000,
    async prove(trial) {
      const [used, unused, busy] = [await trial.open(), await trial.open(), await trial.open()]
      const orders = await trial.destination()
      for (const driver of [used, busy]) await trial.confirm(driver, [trial.message(orders)])
      if (trial.subscribes) await trial.subscribe(busy, orders)
      const underWay = sendTogether(trial, busy, trial.messages(orders, 20), { most: 5 })
      for (const driver of [used, unused, busy]) {
        const close = () => driver.close({ timeoutMs: CLOSE_MS, signal: firesAfter(CLOSE_MS) })
        const twice = 'two closes at once both resolve'
        await Promise.all([trial.ends(close, 2 * CLOSE_MS, twice), trial.ends(close, 2 * CLOSE_MS, twice)])
        await trial.ends(close, 2 * CLOSE_MS, 'a second close resolves')
        await trial.ends(close, 2 * CLOSE_MS, 'a third close resolves')
        const late = await trial.publish(driver, [trial.message(orders)])
        trial.claims.failed(late.outcome(0), { code: 'CLOSED' }, 'a driver closed twice is closed')
      }
      for (const call of underWay) await trial.settled(call)
    },
  },
  {
    id: 'LIF-09',
    title: 'MUST settle what is published after close with CLOSED, and send nothing',
    needs: [],
    budgetMs: 20_000,
    async prove(trial) {
      const { claims } = trial
      const [driver, unused] = [await trial.open(), await trial.open()]
      const [orders, bills] = [await trial.destination('orders'), await trial.destination('bills')]
      const before = trial.messages(orders, 3)
      await trial.confirm(driver, before)
      await Promise.all([trial.close(driver), trial.close(unused)])
      const late = [...trial.messages(orders, 6), ...trial.messages(bills, 2)]
      const expected = { code: 'CLOSED', retryable: false, maybeSent: false } as const
      for (const closed of [driver, unused, driver]) {
        const calls = [
          ...sendTogether(trial, closed, late.slice(0, 6), { most: 2 }),
          ...sendTogether(trial, closed, late.slice(6)),
        ]
        for (const call of calls) {
          await trial.ends(() => call.settled, AT_ONCE_MS, 'a closed driver settles at once')
          for (const outcome of call.outcomes) {
            claims.failed(outcome, expected, 'a closed driver settles with CLOSED')
          }
        }
      }
      if (!trial.canSee) return
      // One that is sent must be there before another one that is sent after it was refused.
      await trial.quiet()
      const other = await trial.open()
      const [last, bill] = [trial.message(orders), trial.message(bills)]
      for (const message of [last, bill]) await trial.confirm(other, [message])
      const stored = await trial.storedIds(orders, before.length + 1)
      claims.excludes(stored, idsOf(late), 'a closed driver sends nothing')
      claims.includes(stored, idsOf([...before, last]), 'what was confirmed before close stays')
      claims.excludes(await trial.storedIds(bills, 1), idsOf(late), 'a closed driver sends nothing')
    },
  },
]

/** What a call gets where nobody listens. */
const DEAD_MS = 2_000

/** What a close gets. */
const CLOSE_MS = 2_000

const FIRED: AbortSignal = AbortSignal.abort(ABORTED)

async function askUnderFiredSignal(trial: Trial, ask: () => Promise<Health>): Promise<void> {
  const health = await trial.ends(ask, AT_ONCE_MS, 'health resolves at once when its signal has fired')
  trial.check(typeof health.ok === 'boolean', 'health says whether it is ok')
}

function checkHealth(trial: Trial, health: Health, ok: boolean, rule: string): void {
  trial.check(health.ok === ok, rule, `ok is ${health.ok}${health.failure ? `, ${health.failure.code}` : ''}`)
  const { warnings } = health
  const areSentences = Array.isArray(warnings) && warnings.every((warning) => typeof warning === 'string')
  trial.check(areSentences, 'health has warnings, if only none')
}
