/** A close that comes while there is no connection yet, or none any more. */
import type { Destination, Driver } from '@notify/core'
import type { Call } from '../call.ts'
import type { Definition } from '../case.ts'
import type { Inbox } from '../inbox.ts'
import type { TcpProxy } from '../proxy/proxy.ts'
import { AT_ONCE_MS, type Trial } from '../trial.ts'
import { firesAfter, until } from '../wait.ts'

export const CONNECTING: Definition = {
  id: 'CLS-02',
  title: 'MUST leave no connection where it is closed while it connects or reconnects',
  needs: ['address'],
  budgetMs: 90_000,
  async prove(trial) {
    const orders = await trial.destination()
    const closed: { readonly proxy: TcpProxy; readonly accepted: number }[] = []
    for (const scene of SCENES) {
      const proxy = await trial.proxy()
      const driver = await trial.open({ address: proxy.address })
      await closeAmid(trial, scene, { proxy, driver, orders })
      proxy.heal()
      proxy.down.release()
      if (scene.refuses === true) await proxy.accept()
      // What vanishes is never closed on the proxy's own side.
      const left = (): number => (scene.vanishes === true ? proxy.clients : proxy.open)
      const rule = 'a driver that was closed while it connected leaves no connection'
      await trial.until(() => left() === 0, rule, GONE_MS)
      closed.push({ proxy, accepted: proxy.accepted })
    }
    const comesBack = (): boolean => closed.some(({ proxy, accepted }) => proxy.accepted !== accepted)
    await trial.never(comesBack, 'a driver that is closed connects no more', WATCH_MS)
  },
}

/** How long close is given. */
const CLOSE_MS = 500
const GONE_MS = 2_000
/** How long it is watched that nothing comes back. */
const WATCH_MS = 1_500

interface Stage {
  readonly proxy: TcpProxy
  readonly driver: Driver
  readonly orders: Destination
}

/** What is under way when the driver is closed. */
interface Begun {
  readonly calls: readonly Call[]
  readonly opening?: Promise<{ readonly value?: Inbox }>
}

interface Scene {
  /** Nobody listens at the proxy when it ends. */
  readonly refuses?: boolean
  /** The proxy is a black hole then. */
  readonly vanishes?: boolean
  begin(trial: Trial, stage: Stage): Promise<Begun>
}

const publishes = (trial: Trial, { driver, orders }: Stage): Begun => ({
  calls: [trial.send(driver, [trial.message(orders)])],
})

const knocks = (trial: Trial, { proxy }: Stage, more = 0): Promise<void> =>
  trial.until(() => proxy.accepted > more, 'a driver that has something to do connects')

async function connected(trial: Trial, { driver, orders }: Stage): Promise<void> {
  await trial.confirm(driver, [trial.message(orders)])
}

const SCENES: readonly Scene[] = [
  // In the turn in which it begins.
  { begin: async (trial, stage) => publishes(trial, stage) },
  // Nobody answers at first, and the answers come after close.
  {
    async begin(trial, stage) {
      stage.proxy.down.hold()
      const begun = publishes(trial, stage)
      await knocks(trial, stage)
      return begun
    },
  },
  // Nobody ever answers.
  {
    vanishes: true,
    async begin(trial, stage) {
      stage.proxy.blackHole()
      const begun = publishes(trial, stage)
      await knocks(trial, stage)
      return begun
    },
  },
  // Somewhere in the greetings, each time somewhere else.
  ...Array.from({ length: 4 }, () => ({
    async begin(trial: Trial, stage: Stage) {
      const { down } = stage.proxy
      down.shape({ delayMs: 10, jitterMs: 10, sliceBytes: 100 })
      const begun = publishes(trial, stage)
      const bytes = trial.random.between(1, 1_500)
      await until(() => down.bytes >= bytes, 150)
      return begun
    },
  })),
  // After a loss: nobody listens, nobody answers, somebody answers late.
  {
    refuses: true,
    async begin(trial, stage) {
      await connected(trial, stage)
      await stage.proxy.refuse()
      stage.proxy.cut()
      return publishes(trial, stage)
    },
  },
  {
    vanishes: true,
    async begin(trial, stage) {
      await connected(trial, stage)
      const before = stage.proxy.accepted
      stage.proxy.blackHole()
      stage.proxy.cut()
      await until(() => stage.proxy.clients === 0, GONE_MS)
      const begun = publishes(trial, stage)
      await until(() => stage.proxy.accepted > before, GONE_MS)
      return begun
    },
  },
  {
    async begin(trial, stage) {
      await connected(trial, stage)
      stage.proxy.cut()
      return publishes(trial, stage)
    },
  },
  // It is not a publish that connects.
  {
    async begin(trial, stage) {
      stage.proxy.down.hold()
      const asking = trial.health(stage.driver)
      asking.catch(() => {})
      await knocks(trial, stage)
      return { calls: [] }
    },
  },
  {
    async begin(trial, stage) {
      if (!trial.subscribes) return { calls: [] }
      stage.proxy.down.hold()
      const opening = trial.trySubscribe(stage.driver, stage.orders)
      opening.catch(() => {})
      await knocks(trial, stage)
      return { calls: [], opening }
    },
  },
]

async function closeAmid(trial: Trial, scene: Scene, stage: Stage): Promise<void> {
  const { calls, opening } = await scene.begin(trial, stage)
  const call = { timeoutMs: CLOSE_MS, signal: firesAfter(CLOSE_MS) }
  const ends = 'close ends when its signal fires, though there is no connection'
  await trial.ends(() => stage.driver.close(call), CLOSE_MS + AT_ONCE_MS, ends)
  const settled = 'what waits for a connection at close is settled'
  for (const each of calls) await trial.ends(() => each.settled, AT_ONCE_MS, settled)
  if (opening === undefined) return
  const rule = 'a subscribe that waits for a connection at close ends'
  const { value } = await trial.ends(() => opening, AT_ONCE_MS, rule)
  if (value !== undefined) await trial.until(() => value.end !== undefined, rule, GONE_MS)
}
