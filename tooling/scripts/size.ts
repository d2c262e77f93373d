/** `pnpm size`: what core weighs in a user's bundle, minified and gzipped, and a limit that holds. */
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { build } from 'esbuild'
import { root } from './lib.ts'

const LIMIT = 15_000

const all = await weigh("export * from '@notify/core'")
const alone = await weigh("export { createNotifier } from '@notify/core'")
console.log(`all of core: ${all} bytes (limit ${LIMIT})`)
console.log(`createNotifier alone: ${alone} bytes`)
if (all > LIMIT) {
  console.log(`core is ${all - LIMIT} bytes over its limit`)
  process.exitCode = 1
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
