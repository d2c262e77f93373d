import { join } from 'node:path'
import { mergeConfig, type ViteUserConfig } from 'vitest/config'
import base from '../vitest/index.ts'
import type { BrokerName } from './src/find.ts'

/** The `vitest.config.ts` of a package whose tests need brokers. */
export function withBrokers(...names: readonly BrokerName[]): ViteUserConfig {
  const globalSetup = [join(import.meta.dirname, 'src/setup.ts')]
  return mergeConfig(base, { test: { globalSetup, provide: { brokers: names } } })
}
