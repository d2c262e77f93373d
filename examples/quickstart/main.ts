import { createListener, createNotifier } from '@notify/core'
import { memory } from '@notify/memory'

const driver = memory()
const notifier = createNotifier({ publisherId: 'compute.host1', driver })
const listener = createListener({
  driver,
  handlers: [{ event_type: 'compute.*', handle: (n) => console.log(n.priority, n.payload) }],
})
await listener.start()
const receipt = await notifier.warn('compute.create_instance', { instance_id: 12 }) // the broker has it
console.log(receipt.results[0]?.status)

notifier.debug('compute.cache_miss', { key: 'flavor.m1' }) // floats: it cannot throw, and is counted all the same

const { emitted, confirmed, failed } = await notifier.close()
await driver.idle() // and it is handled
const { received, acked, dead } = await listener.stop()
console.log({ emitted, confirmed, failed }, { received, acked, dead })
