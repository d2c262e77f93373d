/** One node of a cluster dies, the one that the driver is connected to, and the others live on. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type BrokerNode, eventually, type RabbitBroker, rabbitOracle, seeded } from '@notify/brokers'
import type { Failure } from '@notify/core'
import type { ChannelModel } from 'amqplib'
import type { RabbitDriver } from '../../src/index.ts'
import { type Outcome, outbound, within } from '../support.ts'
import { checkLoad, death } from './kill.ts'
import { inPlace, OLD_ENOUGH_MS, repeated, Verdict } from './round.ts'

const IN_FLIGHT = 1_500
const BATCH = 100
/** So many more are to be confirmed while the node is dead. */
const AFTERWARDS = 2_000

export interface NodeKillFigures {
  readonly seed: number
  readonly killAt: number
  readonly unsettled: number
  readonly confirmed: number
  readonly failed: number
  readonly stored: number
  readonly duplicates: number
  readonly lost: number
  /** From the kill to the first confirm by another node. */
  readonly takeoverMs: number
}

/** The driver goes on through another host, and what it has confirmed is there: with two nodes of three, and with all. */
export function killOneNode(broker: RabbitBroker, seed: number): Promise<NodeKillFigures> {
  return inPlace(broker, async ({ driver, destination }) => {
    const random = seeded(seed)
    const killAt = random.between(200, 10_000)
    const orders = destination()
    // Another one is first each time.
    const first = random.between(0, 2)
    const nodes = broker.nodes.map((_, index) => broker.nodes[(first + index) % 3] as BrokerNode)
    const publishing = driver({ urls: nodes.map(({ url }) => url) })
    const outcomes = new Map<string, Outcome>()
    const twice: string[] = []
    let sent = 0
    let confirmed = 0
    let unsettled = 0
    let loaded = false
    let victim: BrokerNode | undefined
    let dead: Promise<number> | undefined
    let killedAt = 0
    let down = false
    let takenOver: number | undefined
    let after = 0
    publishing.observe(({ state }) => {
      if (state === 'down') down = true
    })

    function settle(id: string, outcome: Outcome): void {
      if (outcomes.has(id)) twice.push(id)
      outcomes.set(id, outcome)
      if (outcome === 'confirmed') {
        confirmed++
        if (down) {
          takenOver ??= performance.now()
          after++
        }
        if (confirmed === killAt) {
          dead = death((victim as BrokerNode).kill())
          unsettled = sent - outcomes.size
          killedAt = performance.now()
        }
      }
      fill()
    }

    /** Not while there is no connection: what fails at once would come again at once. */
    function fill(): void {
      const flows = dead === undefined ? !down : takenOver !== undefined && after < AFTERWARDS
      while (loaded && flows && sent - outcomes.size <= IN_FLIGHT - BATCH) send(BATCH)
    }

    function send(count: number): void {
      const batch = Array.from({ length: count }, () => outbound(orders, `id-${sent++}`))
      publishing.publish(batch, ({ id }, failure) => settle(id, failure ?? 'confirmed'), within(60_000))
    }

    const allSettled = (): boolean => outcomes.size === sent
    send(1)
    await eventually(allSettled, { withinMs: 20_000, what: 'the queue is there' })
    await sleep(OLD_ENOUGH_MS)
    victim = nodeOf(publishing, broker)
    loaded = true
    fill()
    await eventually(() => dead !== undefined || down, { withinMs: 60_000, what: `confirm ${killAt}` })
    if (dead === undefined) throw new Error(`seed ${seed}: the connection was lost before the node was`)
    await dead
    checkLoad(seed, unsettled)
    const goesOn = (): boolean => {
      if (takenOver === undefined && allSettled()) send(1)
      return after >= AFTERWARDS && allSettled()
    }
    const patience = { withinMs: 60_000, everyMs: 10, what: `seed ${seed}: the driver goes on` }
    await eventually(goesOn, patience)

    const verdict = new Verdict()
    verdict.hold('it went on through the dead node', nodeOf(publishing, broker) !== victim)
    const survivor = broker.nodes.find((node) => node !== victim) as BrokerNode
    const read = async ({ name, url }: BrokerNode, leave: boolean): Promise<string[]> => {
      try {
        const all = await rabbitOracle(url, { withinMs: 60_000 }).read(orders.name, { leave })
        return all.map(({ id }) => id as string)
      } catch (cause) {
        const about = ['messages_ready', 'messages_unacknowledged', 'consumers', 'leader', 'online']
        const state = await broker.ctl('list_queues', 'name', ...about)
        throw new Error(`seed ${seed}: ${name}: ${(cause as Error).message}\n${state}`, { cause })
      }
    }
    const stored = await read(survivor, true)
    await victim.restart()
    await broker.settled()
    const again = await read(victim, false)

    const failed = [...outcomes].filter((entry): entry is [string, Failure] => entry[1] !== 'confirmed')
    const kept = [...outcomes.keys()].filter((id) => outcomes.get(id) === 'confirmed')
    const there = new Set(stored)
    const lost = kept.filter((id) => !there.has(id))
    const all = new Set(again)
    verdict.none('confirmed and lost', lost)
    verdict.none(
      'confirmed and lost when the node was back',
      kept.filter((id) => !all.has(id)),
    )
    verdict.none('settled twice', twice)
    verdict.none('stored twice', repeated(stored))
    verdict.none(
      'failed in another way',
      failed.filter(([, { code, retryable }]) => code !== 'UNAVAILABLE' || !retryable),
    )
    verdict.none(
      'stored that failed with maybeSent: false',
      failed.filter(([id, { maybeSent }]) => !maybeSent && (there.has(id) || all.has(id))),
    )
    verdict.end(seed)
    return {
      seed,
      killAt,
      unsettled,
      confirmed,
      failed: failed.length,
      stored: there.size,
      duplicates: stored.length - there.size,
      lost: lost.length,
      takeoverMs: Math.round((takenOver ?? Number.NaN) - killedAt),
    }
  })
}

/** The node at the other end of the connection for publishing. */
function nodeOf(driver: RabbitDriver, { nodes }: RabbitBroker): BrokerNode {
  const { connection } = driver.native().publish as ChannelModel
  const { remotePort } = (connection as unknown as { stream: { remotePort: number } }).stream
  const node = nodes.find(({ port }) => port === remotePort)
  if (node === undefined) throw new Error(`no node at port ${remotePort}`)
  return node
}
