/** From the factory to close. */

import { idsOf } from '../call.ts'
import type { Definition } from '../case.ts'
import { AT_ONCE_MS } from '../trial.ts'

export const LIFECYCLE: readonly Definition[] = [
  {
    id: 'LIF-01',
    title: 'MUST give a fresh, isolated driver with every call of the factory',
    needs: [],
    budgetMs: 10_000,
    async prove(trial) {
      const [first, second] = [await trial.open(), await trial.open()]
      trial.check(first !== second, 'the factory gives a new driver each time')
      await trial.close(first)
      const orders = await trial.destination()
      const call = await trial.publish(second, [trial.message(orders)])
      trial.confirmed(call, 'a driver works after another one was closed')
    },
  },
  {
    id: 'LIF-03',
    title: 'MUST connect to nothing until it is used; the first publish connects, with no call before it',
    needs: ['address'],
    budgetMs: 10_000,
    async prove(trial) {
      const proxy = await trial.proxy()
      const driver = await trial.open({ address: proxy.address })
      await trial.quiet()
      trial.claims.equal(proxy.accepted, 0, 'creating a driver connects to nothing')
      const orders = await trial.destination()
      trial.confirmed(
        await trial.publish(driver, [trial.message(orders)]),
        'the first publish connects by itself',
      )
      trial.check(proxy.accepted > 0, 'a driver opened at an address uses that address')
    },
  },
  {
    id: 'LIF-09',
    title: 'MUST settle what is published after close with CLOSED, and send nothing',
    needs: [],
    budgetMs: 10_000,
    async prove(trial) {
      const driver = await trial.open()
      const orders = await trial.destination()
      const before = trial.messages(orders, 3)
      await trial.confirm(driver, before)
      await trial.close(driver)
      const late = trial.messages(orders, 3)
      const call = trial.send(driver, late)
      await trial.settled(call, AT_ONCE_MS)
      for (const outcome of call.outcomes) {
        trial.claims.failed(
          outcome,
          { code: 'CLOSED', maybeSent: false },
          'a closed driver settles with CLOSED',
        )
      }
      if (!trial.canSee) return
      await trial.quiet()
      const stored = await trial.storedIds(orders, before.length)
      trial.claims.excludes(stored, idsOf(late), 'a closed driver sends nothing')
    },
  },
]
