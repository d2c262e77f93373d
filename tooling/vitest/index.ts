import { fileURLToPath } from 'node:url'
import { defineConfig, type ViteUserConfig } from 'vitest/config'

/** The tags a test may carry. A new one goes here, so that every project knows it. */
export const tags = [
  { name: 'broker', description: 'Talks to a real broker', timeout: 60_000 },
  { name: 'slow', description: 'Takes seconds by its nature', timeout: 60_000 },
]

/** What every package's `vitest.config.ts` re-exports. */
const config: ViteUserConfig = defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    tags,
    typecheck: {
      enabled: true,
      include: ['test/**/*.test-d.ts'],
      // The root program sees tests as well as sources. Errors in sources are the `typecheck` script's to tell.
      tsconfig: fileURLToPath(new URL('../../tsconfig.json', import.meta.url)),
      ignoreSourceErrors: true,
    },
  },
})

export default config
