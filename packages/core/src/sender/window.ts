import type { Capabilities } from '../driver.ts'
import { List } from '../list.ts'
import type { Item } from './buffer.ts'
import type { Call } from './call.ts'
import type { Lane } from './lane.ts'

/**
 * No destination takes all of the window for itself once there is another one, or one that is silent would
 * stand in the way of all until its attempts time out.
 */
const RESERVED = 7 / 8

/** What is handed over to one driver, within what the driver asks for. */
export class Window {
  /** Calls that hold a part of it, the oldest first. */
  readonly calls: List<Call> = new List()
  messages = 0
  bytes = 0
  /** Messages of calls that timed out: the driver may still hold them. */
  overdue = 0
  readonly #limits: Capabilities

  constructor(capabilities: Capabilities) {
    this.#limits = capabilities
  }

  /** How much of a lane may go in one call now. While others wait, a destination has half at the most. */
  room(lane: Lane, lanes: readonly Lane[]): { messages: number; bytes: number } {
    const { window, maxBatch, maxBatchBytes } = this.#limits
    if (window.calls !== undefined && lane.window.calls >= window.calls) return { messages: 0, bytes: 0 }
    const contended = lanes.some((other) => other !== lane && other.waiting.size > 0 && !other.gate.shut)
    const share = contended ? 0.5 : lanes.length > 1 ? RESERVED : 1
    const most = Math.max(1, Math.floor(window.messages * share))
    let messages = Math.min(window.messages - this.messages, most - lane.window.messages, maxBatch)
    // A driver that still holds a whole window of what timed out gets one at a time.
    if (this.overdue >= window.messages) messages = Math.min(messages, 1 - lane.window.messages)
    const first = lane.waiting.head?.message.size ?? 0
    const bytes = Math.min(window.bytes - this.bytes, window.bytes * share - lane.window.bytes)
    // What is larger than the window goes when nothing else is in flight.
    if (first > bytes && this.messages > 0) messages = 0
    return { messages, bytes: Math.min(bytes, maxBatchBytes) }
  }

  enter(call: Call): void {
    this.calls.append(call)
    this.messages += call.items.length
    this.bytes += call.bytes
    call.lane.enter(call)
  }

  /** One message of a call leaves, and the call with the last one. */
  leave(call: Call, item: Item): void {
    this.messages--
    this.bytes -= item.message.size
    call.lane.leave(item)
    if (call.open === 0) this.#end(call)
  }

  /** A call that took too long leaves; the driver may still hold what is open of it. */
  expire(call: Call, open: readonly Item[]): void {
    for (const item of open) {
      this.messages--
      this.bytes -= item.message.size
      call.lane.leave(item)
    }
    this.overdue += open.length
    call.timedOut = true
    this.#end(call)
  }

  #end(call: Call): void {
    this.calls.remove(call)
    call.lane.window.calls--
  }
}
