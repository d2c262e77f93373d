import { createNotifier } from '@notify/core'
import { memory } from '@notify/memory'

const notifier = createNotifier({ publisherId: 'compute.host1', driver: memory() })
const receipt = await notifier.warn('compute.create_instance', { instance_id: 12 }) // the broker has it
notifier.debug('cache.miss', { key: 'flavor.m1' }) // not awaited: it cannot throw, and is counted all the same
const { emitted, confirmed } = await notifier.close()
console.log(receipt.results[0]?.status, { emitted, confirmed })
