import { findOrStart } from '@notify/brokers'
import { createNotifier } from '@notify/core'
import { connect } from 'amqplib'
import { rabbit } from './src/index.ts'
const broker = await findOrStart('rabbit')
const PAYLOAD = { instance_id: 'a6b1f2c4-6f0e-4a7b-9a59-6f4f2a3d8c11', display_name: 'web-17', state: 'active', memory_mb: 2048, disk_gb: 20, vcpus: 2, host: 'compute-3', tags: ['blue', 'spot'] }
const N = 20000
async function raw(win: number) {
  const c = await connect(broker.url, { noDelay: true }); const ch = await c.createConfirmChannel()
  const t = performance.now()
  await new Promise<void>((resolve) => {
    let sent = 0, done = 0
    const send = () => { const id = crypto.randomUUID(); const body = Buffer.from(JSON.stringify({ message_id: id, publisher_id: 'shop', event_type: 'a.b', priority: 'INFO', payload: PAYLOAD, timestamp: new Date().toISOString() }))
      sent++; ch.publish('bench', 'bench.info', body, { persistent: true, mandatory: true, messageId: id, contentType: 'application/json', headers: {} }, () => { if (++done === N) resolve(); else if (sent < N) send() }) }
    for (let i = 0; i < win; i++) send()
  })
  const r = N / (performance.now() - t); await c.close(); return r
}
const driver = rabbit({ url: broker.url, exchange: 'bench' })
const notifier = createNotifier({ publisherId: 'shop', driver, topics: ['bench'] })
await notifier.info('a.b', PAYLOAD)
async function ours(win: number) {
  const t = performance.now()
  await new Promise<void>((resolve) => {
    let sent = 0, done = 0
    const send = () => { sent++; notifier.info('a.b', PAYLOAD).then(() => { if (++done === N) resolve(); else if (sent < N) send() }) }
    for (let i = 0; i < win; i++) send()
  })
  return N / (performance.now() - t)
}
for (let i = 0; i < 4; i++) { const c = await connect(broker.url); const ch = await c.createChannel(); await ch.purgeQueue('bench.info'); await c.close()
  const r1 = await raw(1000), o1 = await ours(1000), r2 = await raw(2000), o2 = await ours(2000)
  console.log('raw1000', r1.toFixed(1), 'ours1000', o1.toFixed(1), (o1 / r1).toFixed(2), 'raw2000', r2.toFixed(1), 'ours2000', o2.toFixed(1), (o2 / r2).toFixed(2)) }
await notifier.close(); await broker.stop()
