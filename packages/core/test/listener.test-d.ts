import { describe, expectTypeOf, test } from 'vitest'
import type { Driver } from '../src/driver.ts'
import type { Envelope } from '../src/envelope.ts'
import type { HandlerContext } from '../src/listener/handlers.ts'
import { createListener, type Listener, type ListenerStats } from '../src/listener/listener.ts'

declare const driver: Driver

interface Created {
  instance_id: number
}
interface Deleted {
  instance_id: number
  forced: boolean
}
interface Events {
  'compute.create': Created
  'compute.delete': Deleted
  'Instance Creation': { name: string }
}

describe('with a map of events', () => {
  test('an event type gives its own payload', () => {
    createListener<Events>({
      driver,
      handlers: [
        {
          event_type: 'compute.delete',
          where(n) {
            expectTypeOf(n).toEqualTypeOf<Envelope<Deleted, 'compute.delete'>>()
            return n.payload.forced
          },
          handle(n, context) {
            expectTypeOf(n.payload).toEqualTypeOf<Deleted>()
            expectTypeOf(n.event_type).toEqualTypeOf<'compute.delete'>()
            expectTypeOf(context).toEqualTypeOf<HandlerContext>()
          },
        },
        { event_type: 'Instance Creation', handle: (n) => n.payload.name },
      ],
    })
  })

  test('a glob, or none, gives all of them to tell apart', () => {
    createListener<Events>({
      driver,
      handlers: [
        {
          event_type: 'compute.*',
          handle(n) {
            expectTypeOf(n.event_type).toEqualTypeOf<keyof Events>()
            if (n.event_type === 'compute.delete') expectTypeOf(n.payload).toEqualTypeOf<Deleted>()
          },
        },
        { event_type: 'compute.[cd]*', handle() {} },
        {
          priorities: ['ERROR'],
          handle(n) {
            if (n.event_type === 'Instance Creation') expectTypeOf(n.payload.name).toEqualTypeOf<string>()
          },
        },
      ],
    })
  })

  test('a wrong name, payload, priority or option does not compile', () => {
    createListener<Events>({
      driver,
      handlers: [
        // @ts-expect-error no such event
        { event_type: 'compute.creat', handle() {} },
        {
          event_type: 'compute.create',
          // @ts-expect-error no such field
          handle: (n) => n.payload.forced,
        },
        // @ts-expect-error the payload of another event
        { event_type: 'compute.create', handle: (n: Envelope<{ name: string }, 'compute.create'>) => n },
        // @ts-expect-error no such priority
        { priorities: ['WARNING'], handle() {} },
        // @ts-expect-error misspelt
        { event_typ: 'compute.create', handle() {} },
        // @ts-expect-error no handler
        { event_type: 'compute.create' },
        // @ts-expect-error misspelt
        { attempts: { maxx: 3 }, handle() {} },
      ],
    })
    // @ts-expect-error misspelt
    createListener<Events>({ driver, handlers: [], prefech: 3 })
  })

  test('handlers do not widen the map', () => {
    createListener<{ a: Created }>({
      driver,
      // @ts-expect-error the map is what the caller says
      handlers: [{ event_type: 'b', handle() {} }],
    })
  })
})

describe('without one', () => {
  test('any event type, with any object', () => {
    createListener({
      driver,
      handlers: [
        {
          event_type: 'whatever',
          handle(n) {
            expectTypeOf(n.payload).toEqualTypeOf<object>()
            expectTypeOf(n.event_type).toEqualTypeOf<string>()
          },
        },
        { handle: async (n) => expectTypeOf(n.message_id).toEqualTypeOf<string>() },
        { event_type: 'compute.*', handle: (n: Envelope<Created>) => n.payload.instance_id },
      ],
    })
  })

  test('a handler may name the fields that its codec adds to the context', () => {
    createListener({
      driver,
      handlers: [{ handle: (_, context: HandlerContext & { ctxt: { user: string } }) => context.ctxt.user }],
    })
  })

  test('a field of the context that there is not does not compile', () => {
    // @ts-expect-error misspelt
    createListener({ driver, handlers: [{ handle: (_, { signl }) => signl }] })
  })
})

test('the listener', () => {
  const listener = createListener({ driver, handlers: [{ handle() {} }] })
  expectTypeOf(listener).toEqualTypeOf<Listener>()
  expectTypeOf(listener.stop({ timeoutMs: 1 })).resolves.toEqualTypeOf<ListenerStats>()
  expectTypeOf(listener).toExtend<AsyncDisposable>()
  // @ts-expect-error misspelt
  void listener.stop({ timeout: 1 })
})
