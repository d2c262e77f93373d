import { orSkip } from '@notify/brokers'
import { register } from '@notify/conformance'
import { afterAll, describe, test } from 'vitest'
import { committed } from '../../../tooling/vitest/committed.ts'
import load from './harness.ts'

let loaded: ReturnType<typeof load> | undefined
const once = () => {
  loaded ??= load()
  return loaded
}

register({
  describe,
  afterAll,
  test: (name, options, body) =>
    test(name, { ...options, tags: ['broker'] }, async (context) => {
      await orSkip(context, once())
      await body(context)
    }),
})(once, committed('rabbit'))
