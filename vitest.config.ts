import { defineConfig } from 'vitest/config'
import { tags } from './tooling/vitest/index.ts'

export default defineConfig({
  test: {
    projects: [
      'packages/*',
      'tooling/brokers',
      'tooling/saboteurs',
      'tooling/soak',
      'tooling/template',
      'examples/demo',
    ],
    tags,
  },
})
