/** Every saboteur against the case that it names, which passes without it. */
import { orSkip } from '@notify/brokers'
import { conformance, type Harness } from '@notify/conformance'
import { afterAll, describe, expect, test } from 'vitest'
import { Bases } from '../src/bases.ts'
import { SABOTEURS } from '../src/index.ts'
import { type Saboteur, sabotaged } from '../src/saboteur.ts'

const bases = new Bases()
/** What became of the cases without a saboteur. */
const cleans = new Map<string, ReturnType<typeof run>>()
afterAll(() => bases.dispose())

/** Waiting is most of it, so those that disturb nobody run side by side. */
const alone = new Set(
  conformance(() => Promise.reject())
    .filter(({ exclusive }) => exclusive)
    .map(({ id }) => id),
)
const [beside, one] = partition(
  SABOTEURS,
  ({ case: id, around = 'memory' }) => around === 'memory' && !alone.has(id),
)

describe.concurrent('around memory', () => beside.forEach(proveCaught))
describe('one by one', () => one.forEach(proveCaught))

function proveCaught(saboteur: Saboteur): void {
  const { name, case: id, caught, around = 'memory' } = saboteur
  test(`${id} catches ${name}, around ${around}`, {
    tags: around === 'memory' || around === 'leased' ? [] : ['broker'],
    timeout: 240_000,
  }, async (context) => {
    const harness = await orSkip(context, bases.load(around))
    const without = `${id} around ${around}`
    const running = cleans.get(without) ?? run(id, () => harness)
    cleans.set(without, running)
    const clean = await running
    context.expect(clean, clean.reason).toMatchObject({ status: 'pass' })
    const result = await run(
      id,
      sabotaged(() => harness, saboteur),
    )
    const reason = expect.stringMatching(caught)
    context.expect(result, result.reason).toMatchObject({ status: 'fail', reason })
  })
}

describe('the saboteurs', () => {
  test('have names of their own', () => {
    const names = SABOTEURS.map(({ name }) => name)
    expect(names).toEqual([...new Set(names)])
  })

  test('leave out no case', () => {
    const named = new Set(SABOTEURS.map((saboteur) => saboteur.case))
    expect(
      conformance(() => Promise.reject())
        .filter(({ id }) => !named.has(id))
        .map(({ id }) => id),
    ).toEqual([])
  })
})

function run(id: string, load: () => Harness | Promise<Harness>) {
  const found = conformance(load).find((each) => each.id === id)
  if (found === undefined) throw new Error(`there is no case ${id}`)
  return found.run()
}

function partition<T>(all: readonly T[], belongs: (one: T) => boolean): [T[], T[]] {
  return [all.filter(belongs), all.filter((one) => !belongs(one))]
}
