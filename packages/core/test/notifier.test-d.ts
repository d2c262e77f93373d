import { expectTypeOf, test } from 'vitest'
import {
  type ChildNotifier,
  createNotifier,
  type Emission,
  isNotifyError,
  type Notifier,
  type NotifierStats,
  type NotifyError,
  type Priority,
  type Receipt,
} from '../src/index.ts'
import { scripted } from './support/publisher.ts'

/** An interface, which has no index signature. */
interface InstanceCreated {
  readonly instance_id: number
  readonly flavor?: string
}

interface Events {
  'compute.create_instance': InstanceCreated
  'cache.miss': { key: string }
  'hosts.seen': readonly string[]
}

declare const typed: Notifier<Events>
declare const any: Notifier
const driver = scripted()

test('a map of events makes names and payloads exact', () => {
  typed.info('compute.create_instance', { instance_id: 12 })
  typed.info('compute.create_instance', { instance_id: 12, flavor: 'small' } satisfies InstanceCreated)
  typed.notify('ERROR', 'cache.miss', { key: 'a' })
  typed.audit('hosts.seen', ['a', 'b'])

  // @ts-expect-error a name that is not in the map
  typed.info('compute.crate_instance', { instance_id: 12 })
  // @ts-expect-error a payload of the wrong type
  typed.info('compute.create_instance', { instance_id: '12' })
  // @ts-expect-error a field that is missing
  typed.info('compute.create_instance', {})
  // @ts-expect-error a field that nobody knows
  typed.info('cache.miss', { key: 'a', ky: 'b' })
  // @ts-expect-error the payload of another event
  typed.warn('cache.miss', { instance_id: 12 })
  // @ts-expect-error no payload
  typed.warn('cache.miss')
  // @ts-expect-error a priority that is none
  typed.notify('FATAL', 'cache.miss', { key: 'a' })
  // @ts-expect-error a name that is not in the map
  typed.notify('INFO', 'cache.mis', { key: 'a' })
})

test('every method and every child keeps the map', () => {
  for (const method of ['debug', 'sample', 'info', 'audit', 'warn', 'error', 'critical'] as const) {
    // @ts-expect-error a payload of the wrong type
    typed[method]('cache.miss', { key: 1 })
    expectTypeOf(typed[method]('cache.miss', { key: 'a' })).toEqualTypeOf<Emission>()
  }
  const child = typed.child({ publisherId: 'child' })
  expectTypeOf(child).toEqualTypeOf<ChildNotifier<Events>>()
  // @ts-expect-error a field that is missing
  child.info('cache.miss', {})
  expectTypeOf(typed.isEnabled).parameter(1).toEqualTypeOf<keyof Events | undefined>()
  // @ts-expect-error a child has no close
  child.close
})

test('without a map any object will do, interfaces included', () => {
  const payload: InstanceCreated = { instance_id: 12 }
  any.info('anything', payload)
  any.info('anything', [payload])
  any.info(`made.${String(1)}`, new (class Own {})())
  // @ts-expect-error a payload is an object
  any.info('anything', 'text')
  // @ts-expect-error a payload is an object
  any.info('anything', 7)
  // @ts-expect-error a payload is an object
  any.info('anything', null)
  // @ts-expect-error a payload is an object
  any.info('anything', undefined)
  // @ts-expect-error an event type is a string
  any.info(7, {})
  expectTypeOf(createNotifier({ publisherId: 'a', driver })).toEqualTypeOf<Notifier>()
  expectTypeOf(createNotifier<Events>({ publisherId: 'a', driver })).toEqualTypeOf<Notifier<Events>>()
})

test('misspelt options are errors', () => {
  createNotifier({ publisherId: 'a', driver, retry: 3, buffer: { messages: 1 }, backoff: { minMs: 1 } })
  createNotifier({
    publisherId: 'a',
    drivers: [{ driver, when: { event_type: 'a.*', priorities: ['INFO'] }, required: false }],
  })
  // @ts-expect-error retires
  createNotifier({ publisherId: 'a', driver, retires: 3 })
  // @ts-expect-error no publisherId
  createNotifier({ driver })
  // @ts-expect-error no driver
  createNotifier({ publisherId: 'a' })
  // @ts-expect-error both
  createNotifier({ publisherId: 'a', driver, drivers: [{ driver }] })
  // @ts-expect-error message
  createNotifier({ publisherId: 'a', driver, buffer: { message: 1 } })
  // @ts-expect-error min
  createNotifier({ publisherId: 'a', driver, backoff: { min: 1 } })
  // @ts-expect-error requierd
  createNotifier({ publisherId: 'a', drivers: [{ driver, requierd: false }] })
  // @ts-expect-error eventType: rules have the wire's names
  createNotifier({ publisherId: 'a', drivers: [{ driver, when: { eventType: 'a.*' } }] })
  // @ts-expect-error a priority that is none
  createNotifier({ publisherId: 'a', drivers: [{ driver, when: { priorities: ['info'] } }] })

  any.info(
    'a',
    {},
    {
      key: 'k',
      headers: { a: 'b' },
      topics: ['t'],
      timeoutMs: 1,
      signal: AbortSignal.abort(),
      messageId: 'm',
    },
  )
  // @ts-expect-error topic
  any.info('a', {}, { topic: 'a' })
  // @ts-expect-error a header is a string
  any.info('a', {}, { headers: { a: 1 } })
  // @ts-expect-error message_id: options are camelCase
  any.info('a', {}, { message_id: 'm' })
  // @ts-expect-error retry is the notifier's
  typed.info('cache.miss', { key: 'a' }, { retry: 0 })
  // @ts-expect-error retry is the notifier's
  any.child({ retry: 0 })
  // @ts-expect-error timeout
  any.close({ timeout: 5_000 })
})

test('what comes back is typed', async () => {
  const emission = any.info('a', {})
  expectTypeOf(emission.message_id).toEqualTypeOf<string>()
  expectTypeOf(await emission).toEqualTypeOf<Receipt>()
  expectTypeOf(emission.catch((error) => error.code)).toEqualTypeOf<Promise<Receipt | NotifyError['code']>>()
  expectTypeOf(emission.then(({ results }) => results.length)).toEqualTypeOf<Promise<number>>()
  expectTypeOf(emission.finally(() => {})).toEqualTypeOf<Promise<Receipt>>()
  expectTypeOf(any.close()).toEqualTypeOf<Promise<NotifierStats>>()
  expectTypeOf(any.flush()).toEqualTypeOf<Promise<boolean>>()
  expectTypeOf<Parameters<typeof any.notify>[0]>().toEqualTypeOf<Priority>()
  const caught: unknown = await emission.catch((error) => error)
  if (isNotifyError(caught)) expectTypeOf(caught.maybeSent).toEqualTypeOf<boolean>()
})
