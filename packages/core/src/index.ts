/**
 * Notifications out of a program, and into another one, over whichever broker there is.
 *
 * @module
 */

export type { Clock } from './clock.ts'
export type { Codec } from './codec.ts'
export { jsonCodec } from './codec.ts'
export type { DelayOptions } from './control.ts'
export { Reject, Requeue, Retry } from './control.ts'
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
export type { Emission, Receipt, Result } from './emission.ts'
export type { EmitOptions, NotifierHealth, NotifierStats } from './emitter.ts'
export type { Envelope, Priority } from './envelope.ts'
export { PRIORITIES } from './envelope.ts'
export type { ErrorCode, Failure } from './errors.ts'
export { ERROR_CODES, failure, isNotifyError, NotifyError } from './errors.ts'
export type { Glob } from './glob.ts'
export type { Attempts, HandlerContext, HandlerEntry, NotificationOf } from './handlers.ts'
export type { EmitStats } from './ledger.ts'
export type { DeadLetterNote } from './letter.ts'
export type { Listener, ListenerOptions, ListenerStats } from './listener.ts'
export { createListener } from './listener.ts'
export { checkMessage } from './message.ts'
export type {
  AnyEvents,
  ChildNotifier,
  ChildOptions,
  EmitMethod,
  Notifier,
  NotifierOptions,
} from './notifier.ts'
export { createNotifier } from './notifier.ts'
export type { Hooks, StatusEvent } from './observe.ts'
export { checkOptions } from './options.ts'
export type { DriverEntry, Rule } from './route.ts'
export type { DriverStats } from './sender.ts'
