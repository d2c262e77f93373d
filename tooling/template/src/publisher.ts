import {
  type CallOptions,
  checkMessage,
  type Destination,
  type Failure,
  type OutboundMessage,
  type Settle,
} from '@notify/core'
import { bounded, deadline } from './bounded.ts'
import type { Connection, Link } from './connection.ts'
import type { Topology } from './topology.ts'
import { aborted, checkName, closed, toFailure, toWire, type WireMessage } from './wire.ts'

/** One message of one call, until it is settled; of what is, nothing is kept. */
interface Open {
  message: OutboundMessage | undefined
  wire: WireMessage | undefined
  readonly settle: Settle
  readonly signal: AbortSignal
  written: boolean
}

/** Publishes: one request for each message, and whatever the broker answers, settles it. */
export class Publisher {
  readonly #link: Link
  readonly #topology: Topology
  readonly #maxMessageBytes: number
  /** All that is not settled, by what may end it: one listener for each signal. */
  readonly #open = new Map<AbortSignal, Set<Open>>()
  #closed = false
  #idle: (() => void) | undefined

  constructor(link: Link, topology: Topology, maxMessageBytes: number) {
    this.#link = link
    this.#topology = topology
    this.#maxMessageBytes = maxMessageBytes
  }

  publish(batch: readonly OutboundMessage[], settle: Settle, call: CallOptions): void {
    const opened: Open[] = []
    let destination: Destination | undefined
    for (const message of batch) {
      const refused = this.#refuse(message, call.signal)
      if (refused !== undefined) settle(message, refused)
      else {
        opened.push(this.#admit(message, settle, call.signal))
        destination = message.destination
      }
    }
    if (destination !== undefined) void this.#send(destination, opened, call)
  }

  /** Waits for answers as long as the call allows, then settles what is left. Never rejects. */
  async close(call: CallOptions): Promise<void> {
    this.#closed = true
    if (this.#open.size === 0) return
    const idle = new Promise<void>((resolve) => {
      this.#idle = resolve
    })
    await bounded(idle, call).catch(() => {})
    for (const opens of [...this.#open.values()]) {
      for (const open of opens) this.#settle(open, { ...closed(), maybeSent: open.written })
    }
  }

  #refuse(message: OutboundMessage, signal: AbortSignal): Failure | undefined {
    if (this.#closed) return closed()
    if (signal.aborted) return aborted(signal)
    try {
      return checkName(message.destination.name) ?? checkMessage(message, this.#maxMessageBytes)
    } catch (error) {
      return toFailure(error)
    }
  }

  #admit(message: OutboundMessage, settle: Settle, signal: AbortSignal): Open {
    const open: Open = { message, wire: toWire(message), settle, signal, written: false }
    const others = this.#open.get(signal)
    if (others === undefined) {
      this.#open.set(signal, new Set([open]))
      signal.addEventListener('abort', this.#onAbort)
    } else others.add(open)
    return open
  }

  readonly #onAbort = (event: Event): void => {
    const signal = event.target as AbortSignal
    for (const open of this.#open.get(signal) ?? []) {
      this.#settle(open, { ...aborted(signal), maybeSent: open.written })
    }
  }

  #settle(open: Open, failed?: Failure): void {
    const { message, settle, signal } = open
    if (message === undefined) return
    open.message = undefined
    open.wire = undefined
    const opens = this.#open.get(signal)
    opens?.delete(open)
    if (opens?.size === 0) {
      this.#open.delete(signal)
      signal.removeEventListener('abort', this.#onAbort)
    }
    settle(message, failed)
    if (this.#open.size === 0) this.#idle?.()
  }

  async #send(destination: Destination, opened: readonly Open[], call: CallOptions): Promise<void> {
    const { name } = destination
    try {
      const limits = deadline(call)
      const connection = this.#link.connection ?? (await bounded(this.#link.connect(), limits))
      if (!connection.prepared.has(name)) {
        const groups = this.#topology.groupsOf(destination)
        await bounded(this.#topology.prepare(connection, name, groups), limits)
        connection.prepared.add(name)
      }
      for (const open of opened) {
        const { drained } = connection
        if (drained !== undefined) await bounded(drained, limits)
        this.#write(connection, name, open)
      }
    } catch (error) {
      const failed = { ...toFailure(error), maybeSent: false }
      for (const open of opened) if (!open.written) this.#settle(open, failed)
    }
  }

  #write(connection: Connection, name: string, open: Open): void {
    // Aborted while it waited.
    if (open.wire === undefined) return
    open.written = true
    connection.ask({ do: 'publish', to: name, message: open.wire }).then(
      () => this.#settle(open),
      (failed: Failure) => {
        if (failed.code === 'UNROUTABLE') connection.prepared.delete(name)
        this.#settle(open, this.#topology.explain(failed))
      },
    )
  }
}
