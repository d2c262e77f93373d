import { createNotifier, PRIORITIES } from '../../src/index.ts'
import { CAPABILITIES, DOWN } from '../support/publisher.ts'
const turn = () => new Promise<void>((r) => setImmediate(r))
const mode = process.argv[2]
let n = 0
const notifier = createNotifier({ publisherId: 'o', timeoutMs: 600_000, onStatus() {}, onFailure() { n++ },
  driver: { contract: 1, name: 'away', capabilities: CAPABILITIES, publish(b, s) { for (const m of b) s(m, DOWN) }, async health() { return { ok: true, warnings: [] } }, async close() {} } })
let prev = process.memoryUsage()
for (let i = 0; i < 200_000; ) {
  for (let k = 0; k < 200; k++) {
    const e = notifier.notify(mode?.includes('p') ? PRIORITIES[(i * 5) % 7]! : 'INFO', 'a', { k, x: 'x'.repeat(200) })
    if (mode?.includes('c')) e.catch(() => {})
    else if (mode?.includes('t') && k % 10 === 0) e.catch(() => {})
    i++
  }
  if (mode?.includes('s')) for (let k = 0; k < 4; k++) notifier.stats()
  await turn()
  if (i % 20_000 === 0) { const m = process.memoryUsage(); console.log(i, 'rss', (m.rss / 2 ** 20) | 0, 'used', (m.heapUsed / 2 ** 20) | 0, 'total', (m.heapTotal / 2 ** 20) | 0) }
}
process.exit(0)
