/**
 * vitest's global setup, in the process that all test files come from: makes it the owner of what they share, and
 * downloads what they will need. Starts nothing: the first test that needs a broker does.
 */
import type { TestProject } from 'vitest/node'
import { isUnavailable } from './broker.ts'
import { CACHE_ONLY } from './cache.ts'
import { type BrokerName, prepare } from './find.ts'
import { own, RUN } from './home.ts'

export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const { tagsFilter = [] } = project.vitest.config
  if (!tagsFilter.some((filter) => /^(!|not )\s*broker$/.test(filter.trim()))) {
    for (const name of project.config.provide.brokers ?? []) await prepare(name).catch(forget)
  }
  // Another project of the same run was first, or whoever started this run.
  if (process.platform !== 'linux' || process.env[RUN]) return undefined
  const { folder, close } = await own()
  process.env[RUN] = folder
  return async () => {
    delete process.env[RUN]
    await close()
  }
}

/** What cannot be had now is not tried again by every test. */
function forget(error: unknown): void {
  if (!isUnavailable(error)) throw error
  process.env[CACHE_ONLY] = error.reason
}

declare module 'vitest' {
  interface ProvidedContext {
    brokers?: readonly BrokerName[]
  }
}
