/** A wire that is cut at random bytes, again and again, under a program that emits and listens. */
import { type Broker, eventually, openProxy, seeded } from '@notify/brokers'
import { PRIORITIES } from '@notify/core'
import { Program } from './program.ts'
import { inPlace, Verdict } from './round.ts'

/** A cut comes within so many bytes. */
const FARTHEST = 60_000

export interface CutsFigures {
  readonly seed: number
  readonly cuts: number
  /** Of those, on the way to the broker. */
  readonly up: number
  /** Came when no publish or no delivery was open, and are not counted. */
  readonly idle: number
  readonly emitted: number
  readonly lost: number
  /** Handled again, with the same message_id. */
  readonly duplicates: number
  /** For each cut, until a notification that was emitted after it has been handled. */
  readonly healMs: readonly number[]
}

/** One program lives through `cuts` cuts, each with at least one publish and one delivery open. */
export async function surviveCuts(
  broker: Pick<Broker, 'url' | 'host' | 'port'>,
  seed: number,
  cuts: number,
): Promise<CutsFigures> {
  const before = resources()
  const figures = await inPlace(broker, async ({ destination, driver, oracle }, defer) => {
    const random = seeded(seed)
    const proxy = await openProxy(broker, { seed })
    defer(() => proxy.close())
    const { topic } = destination()
    const queues = PRIORITIES.map((priority) => `${topic}.${priority.toLowerCase()}`)
    for (const queue of queues) defer(() => oracle.remove(queue))
    const program = new Program(driver({ url: proxy.through(broker.url) }), topic)
    defer(() => program.end())
    await program.start()

    let up = 0
    let idle = 0
    for (let counted = 0; counted < cuts; ) {
      const towards = random.next() < 0.5 ? 'up' : 'down'
      let over = false
      const cut = proxy[towards].cutAfter(random.between(1, FARTHEST)).then(() => {
        over = true
        if (!program.isBusy()) {
          idle++
          return
        }
        program.markCut()
        counted++
        if (towards === 'up') up++
      })
      while (!over) {
        program.emit()
        await Promise.race([cut, new Promise((resolve) => setTimeout(resolve, 5))])
      }
    }
    program.emit()
    await eventually(() => program.isDone(), { withinMs: 30_000, what: 'all is handled' }).catch((cause) => {
      throw new Error(`seed ${seed}: ${cause.message}: ${program.state}`, { cause })
    })
    for (const queue of queues) {
      await eventually(async () => (await oracle.count(queue)) === 0, { what: `${queue} is empty` })
      await eventually(async () => (await oracle.consumers(queue)) === 1, {
        what: `${queue} has one consumer`,
      })
    }
    await program.end()
    await eventually(() => proxy.open === 0, { what: `seed ${seed}: no connection is open` })
    const verdict = new Verdict()
    const consumers = await Promise.all(queues.map((queue) => oracle.consumers(queue)))
    verdict.none('consumers left', consumers.filter(Boolean))
    const { ids, failed, handled, strange, heals } = program
    const lost = ids.filter((id) => !failed.has(id) && !handled.has(id))
    verdict.none('lost', lost)
    verdict.none('failed, with all the time to be sent again', failed)
    verdict.none('handled that nobody emitted', strange)
    verdict.end(seed)
    const times = [...handled.values()].reduce((sum, count) => sum + count, 0)
    return {
      seed,
      cuts,
      up,
      idle,
      emitted: ids.length,
      lost: lost.length,
      duplicates: times - handled.size,
      healMs: heals,
    }
  })
  const left = (): string[] =>
    [...resources()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(String)
  await eventually(() => left().length === 0, { what: `seed ${seed}: nothing is left` }).catch((error) => {
    throw new Error(`${error.message}: ${left().join('; ')}`)
  })
  return figures
}

/** What keeps this process alive, sockets and timers, and who listens to it: how many of each kind. */
function resources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  for (const event of process.eventNames()) {
    counts.set(`listeners of ${String(event)}`, process.listenerCount(event))
  }
  return counts
}
