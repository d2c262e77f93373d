/** What is honest passes, however awkward it is. */
import { conformance, type Load } from '@notify/conformance'
import { expect, test } from 'vitest'
import memory from '../../../packages/memory/test/harness.ts'
import { AWKWARD } from '../src/awkward.ts'

for (const { name, around } of AWKWARD) {
  test(`the suite passes ${name}`, { timeout: 240_000 }, async () => {
    const load: Load = async () => {
      const harness = await memory()
      return { ...harness, open: async (options) => around(await harness.open(options)) }
    }
    await using cases = conformance(load)
    // Side by side, but for those that want to be alone.
    const results = await Promise.all(cases.map((each) => each.run()))
    const broken = results.filter(({ status }) => status === 'fail' || status === 'error')
    expect(broken.map(({ id, status, reason }) => `${id} ${status}: ${reason}`)).toEqual([])
  })
}
