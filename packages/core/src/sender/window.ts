import type { Capabilities } from '../driver.ts'
import { List } from '../list.ts'
import type { Item } from './buffer.ts'
import type { Call } from './call.ts'
import type { Lane } from './lane.ts'

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

  /**
   * How much of a lane may go in one call now. While others wait, a destination has half at the most. A part is
   * kept for destinations that have nothing in flight, or a silent one would stand in the way of all of them until
   * its attempts time out; a message at a time is what each of them may have of it.
   *
   * `stuck`: nothing may go, and it is the first message's size that is in the way. What ranks lower must not go
   * either then, or the window would never be empty enough.
   */
  room(lane: Lane, lanes: readonly Lane[]): { messages: number; bytes: number; stuck: boolean } {
    const { window, maxBatch, maxBatchBytes } = this.#limits
    const none = { messages: 0, bytes: 0, stuck: false }
    if (window.calls !== undefined && lane.window.calls >= window.calls) return none
    const contended = lanes.some((other) => other !== lane && other.waiting.size > 0 && !other.gate.shut)
    const share = contended ? 0.5 : 1
    const free = window.messages - this.messages
    const kept =
      lanes.length === 1 ? 0 : Math.min(Math.max(1, Math.floor(window.messages / 8)), window.messages - 1)
    const ownShare = Math.max(1, Math.floor(window.messages * share)) - lane.window.messages
    let messages = Math.min(free - kept, ownShare, maxBatch)
    if (messages <= 0 && lane.window.messages === 0) messages = Math.min(free, 1)
    // A driver that still holds a whole window of what timed out gets one at a time.
    if (this.overdue >= window.messages) messages = Math.min(messages, 1 - lane.window.messages)
    if (messages <= 0) return none
    const first = lane.waiting.head?.message.size ?? 0
    const bytes = Math.min(window.bytes - this.bytes, window.bytes * share - lane.window.bytes)
    // What is larger than its share goes as soon as there is room for it alone.
    const fits =
      first <= bytes ||
      this.messages === 0 ||
      (lane.window.messages === 0 && first <= window.bytes - this.bytes)
    if (!fits) return { ...none, stuck: lane.window.messages === 0 }
    return { messages, bytes: Math.min(bytes, maxBatchBytes), stuck: false }
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
