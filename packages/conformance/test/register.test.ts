import { expect, test } from 'vitest'
import { conformance, type Harness, register, report, toMarkdown } from '../src/index.ts'
import { harness, scripted } from './support.ts'

interface Registered {
  readonly name: string
  readonly timeout: number
  body(context: { skip(reason?: string): void }): Promise<void>
}

/** A runner that only takes things down. */
function runner() {
  const tests: Registered[] = []
  const ends: (() => Promise<void>)[] = []
  return {
    tests,
    ends,
    describe: (_: string, body: () => void) => body(),
    test: (name: string, { timeout }: { timeout: number }, body: Registered['body']) =>
      void tests.push({ name, timeout, body }),
    after: (task: () => Promise<void>) => void ends.push(task),
  }
}

test('each case is a test: it passes, fails with the reason, or is skipped with it', async () => {
  const { tests, ends, ...functions } = runner()
  let disposed = 0
  const load = (): Harness =>
    harness(() => scripted({ close: () => Promise.reject(new Error('no')) }), {
      dispose: async () => void disposed++,
    })
  const results: string[] = []
  register(functions)(load, { seed: 1, onResult: ({ id, status }) => void results.push(`${id} ${status}`) })
  expect(tests).toHaveLength(conformance(load).length)

  const reasons: unknown[] = []
  const skip = (reason?: string): void => void reasons.push(reason)
  const named = (id: string) => tests.find(({ name }) => name.startsWith(id)) as Registered
  await expect(named('LIF-01').body({ skip })).rejects.toThrow(/^LIF-01 is broken\. .*close.*\n.*last events/)
  await named('CNF-01').body({ skip })
  expect(reasons).toEqual([expect.stringMatching(/^(unsupported|blocked): /)])
  expect(results).toEqual(['LIF-01 fail', expect.stringMatching(/^CNF-01 (unsupported|blocked)$/)])
  for (const end of ends) await end()
  expect(disposed).toBe(1)
})

test('nothing is loaded until a case runs, and then once', async () => {
  let loaded = 0
  const cases = conformance(() => {
    loaded++
    return harness(scripted)
  })
  expect(loaded).toBe(0)
  await Promise.all(cases.slice(0, 3).map((each) => each.run()))
  expect(loaded).toBe(1)
})

test('a report has its keys in one order, and reads as what it is', async () => {
  const cases = conformance(() => harness(scripted), { seed: 9 })
  const results = await Promise.all(cases.map((each) => each.run(AbortSignal.abort())))
  const first = {
    id: 'LIF-01',
    status: 'fail',
    ms: 1,
    assertions: 2,
    reason: 'a | b\nand more',
    log: [],
  } as const
  const summary = report(cases, [first, ...results.slice(1)], await cases.facts(), 'npx conformance run h.js')
  expect(Object.keys(summary)).toEqual([
    'suite',
    'driver',
    'broker',
    'runtime',
    'capabilities',
    'seed',
    'times',
    'command',
    'conformant',
    'counts',
    'cases',
  ])
  expect(summary).toMatchObject({ conformant: false, seed: 9, command: 'npx conformance run h.js --seed 9' })
  expect(toMarkdown(summary)).toContain('| LIF-01 | **fail** | a \\| b |')
})
