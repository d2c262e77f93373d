/**
 * Notifications out of a program, and into another one, over whichever broker there is.
 *
 * @module
 */

export type { Clock } from './clock.ts'
export type { Codec } from './codec.ts'
export { jsonCodec } from './codec.ts'
export type {
  CallOptions,
  Capabilities,
  Delivery,
  Destination,
  Driver,
  Health,
  OutboundMessage,
  Settle,
  Source,
  Status,
  SubscribeOptions,
  Subscription,
} from './driver.ts'
export { settleAll } from './driver.ts'
export type { Envelope, Priority } from './envelope.ts'
export { PRIORITIES } from './envelope.ts'
export type { ErrorCode, Failure } from './errors.ts'
export { ERROR_CODES, failure, isNotifyError, NotifyError } from './errors.ts'
export type { Glob } from './glob.ts'
export type { DelayOptions } from './listener/control.ts'
export { Reject, Requeue, Retry } from './listener/control.ts'
export type { Attempts, HandlerContext, HandlerEntry, NotificationOf } from './listener/handlers.ts'
export type { DeadLetterNote } from './listener/letter.ts'
export type { Listener, ListenerOptions, ListenerStats } from './listener/listener.ts'
export { createListener } from './listener/listener.ts'
export { checkMessage } from './message.ts'
export type { Emission, Receipt, Result } from './notifier/emission.ts'
export type { EmitOptions, NotifierHealth, NotifierStats } from './notifier/emitter.ts'
export type { EmitStats } from './notifier/ledger.ts'
export type {
  AnyEvents,
  ChildNotifier,
  ChildOptions,
  EmitMethod,
  Notifier,
  NotifierOptions,
} from './notifier/notifier.ts'
export { createNotifier } from './notifier/notifier.ts'
export type { DriverEntry, Rule } from './notifier/route.ts'
export type { Hooks, StatusEvent } from './observe.ts'
export { checkOptions } from './options.ts'
export type { DriverStats } from './sender/sender.ts'
