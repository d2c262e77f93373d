/** `pnpm size`: what core weighs in a user's bundle, minified and gzipped, and a limit that holds. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { root } from './lib.ts'

// Why these, and not less: docs/decisions/0005-what-core-weighs.md
const ALL = 24 * 1_024
const ALONE = 16 * 1_024

for (const [what, contents, limit] of [
  ['all of core', "export * from '@notify/core'", ALL],
  ['createNotifier alone', "export { createNotifier } from '@notify/core'", ALONE],
] as const) {
  const bytes = await weigh(contents)
  const over = bytes > limit
  console.log(`${what}: ${bytes} bytes, ${over ? 'ABOVE' : 'within'} its limit of ${limit}`)
  if (over) process.exitCode = 1
}

async function weigh(contents: string): Promise<number> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: join(root, 'packages/core') },
    alias: { '@notify/core': join(root, 'packages/core/src/index.ts') },
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node22',
    legalComments: 'none',
  })
  let bytes = 0
  for (const file of outputFiles) bytes += gzipSync(file.contents, { level: 9 }).length
  return bytes
}
