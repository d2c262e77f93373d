import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'amqplib'
import { start } from '../src/index.ts'

const b = await start('rabbit', { version: process.argv[2] as any })
const Q = { durable: true, arguments: { 'x-queue-type': 'quorum' } }
for (const mode of ['check', 'check', 'get', 'consume', 'consume']) {
  const c = await connect(b.url)
  c.on('error', () => {})
  const ch = await c.createConfirmChannel()
  ch.on('error', () => {})
  const q = 'q' + Math.random()
  await ch.assertQueue(q, Q)
  await sleep(2000)
  const body = Buffer.alloc(500)
  for (let i = 0; i < 30000; i++) ch.sendToQueue(q, body, { persistent: true })
  await ch.waitForConfirms()
  await b.kill()
  await b.restart()
  const t = performance.now()
  let last = ''
  const c2 = await connect(b.url)
  c2.on('error', (e) => {
    console.log(String(e))
  })
  const ch2 = await c2.createChannel()
  ch2.on('error', (e) => console.log('ch', String(e)))
  if (mode === 'check')
    while (performance.now() - t < 8000) {
      const s = JSON.stringify(await ch2.checkQueue(q))
      if (s !== last) console.log(b.version, Math.round(performance.now() - t), s)
      last = s
      if (s.includes('"messageCount":30000')) break
      await sleep(1)
    }
  if (mode === 'get') {
    try {
      const m = await ch2.get(q)
      console.log(
        'get',
        Math.round(performance.now() - t),
        m && m.content.length,
        JSON.stringify(await ch2.checkQueue(q)),
      )
    } catch (e) {
      console.log('get', Math.round(performance.now() - t), String(e))
    }
  }
  if (mode === 'consume') {
    let n = 0
    await ch2.prefetch(65535)
    const r = ch2.consume(q, () => n++).then(() => 'ok', String)
    const out = await Promise.race([r, sleep(8000, 'hang')])
    console.log('consume', out, Math.round(performance.now() - t))
    await sleep(3000)
    console.log(n)
  }
  await Promise.race([c2.close(), sleep(1000)]).catch(() => {})
}
await b.stop()
