import { createListener } from '@notify/core'
import { memory } from '@notify/memory'
const driver = memory()
createListener({ driver, handlers: [{ event_type: 'compute.*', handle: (n) => n.priority }] })
createListener({ driver, handlers: [{ event_type: 'order.placed', handle: (n) => n.priority }] })
createListener({ driver, handlers: [{ event_type: 'compute.*', handle(n) { return n.priority } }] })
createListener({ driver, handlers: [{ handle: (n) => n.priority }] })
createListener({ driver, handlers: [{ priorities: ['ERROR'], handle: (n) => n.priority }] })
