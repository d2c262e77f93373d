/**
 * The program that a case runs to see whether it ends by itself: `child harness-url hint host port`. It loads the
 * harness, leads drivers from open to close, at the broker and at an address where nobody is, and says when all of
 * them are closed. It calls no `process.exit`.
 */

import type { Load } from '../harness.ts'
import { exercise } from './exercise.ts'

const ROUNDS = 2

const [url, hint, host, port] = process.argv.slice(2) as [string, string, string, string]
const say = (what: string): void => void process.send?.(what)

const { default: load } = (await import(url)) as { default: Load }
const harness = await load()
const destinations = [await harness.destination(hint), await harness.destination(`${hint}-more`)] as const
say('loaded')
for (let round = 0; round < ROUNDS; round++) {
  await exercise(harness, destinations)
  if (harness.broker.address === undefined) continue
  await exercise(harness, destinations, { address: { host, port: Number(port) } })
}
await harness.dispose?.()
say('closed')
