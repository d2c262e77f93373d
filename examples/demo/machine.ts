/** What this machine tells about itself. Each figure is measured when it is asked for. */

import { once } from 'node:events'
import { statfs } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { availableParallelism, cpus, loadavg, totalmem, uptime } from 'node:os'
import type { Priority } from '@notify/core'
import type { Crossing, Events } from './events.ts'

export function hostState(): Events['host.state'] {
  return { cores: availableParallelism(), memory_bytes: memoryBytes(), up_ms: uptime() * 1_000 }
}

/** What one round of measurements finds, ready to be emitted. */
export type Reading = Pick<
  Events,
  'cpu.usage' | 'cpu.cores' | 'memory.usage' | 'disk.usage' | 'loop.delay' | 'process.usage'
>

/** How often the event loop is looked at, in milliseconds. */
const LOOK_MS = 10

/** Watches from when it is made. Each reading tells of the time since the one before. */
export class Machine {
  #before = counters()
  #delays: number[] = []
  #lookedAt = performance.now()
  readonly #timer = setInterval(() => this.#look(), LOOK_MS)

  async read(): Promise<Reading> {
    const disk = await statfs('.')
    const total_bytes = memoryBytes()
    const used = disk.blocks - disk.bfree
    const before = this.#before
    const now = counters()
    this.#before = now
    const cores = now.cores.map(({ busy, all }, index) => {
      const { busy: busyBefore = 0, all: allBefore = 0 } = before.cores[index] ?? {}
      return percent(busy - busyBefore, all - allBefore)
    })
    const delays = this.#delays.sort((a, b) => a - b)
    this.#delays = []
    return {
      'cpu.usage': { percent: average(cores), load: loadavg()[0] ?? 0 },
      'cpu.cores': { percents: cores },
      'memory.usage': { percent: percent(total_bytes - process.availableMemory(), total_bytes), total_bytes },
      'disk.usage': { percent: percent(used, used + disk.bavail), free_bytes: disk.bavail * disk.bsize },
      'loop.delay': { median_ms: delays[delays.length >> 1] ?? 0, longest_ms: delays.at(-1) ?? 0 },
      'process.usage': {
        percent: percent(now.processMs - before.processMs, now.at - before.at),
        rss_bytes: process.memoryUsage.rss(),
      },
    }
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** How late a timer is, is how long the event loop was busy with something else. */
  #look(): void {
    const now = performance.now()
    this.#delays.push(Math.max(0, now - this.#lookedAt - LOOK_MS))
    this.#lookedAt = now
  }
}

/** From where on something matters, and how much. */
const LIMITS = {
  'cpu.usage': { unit: '%', WARN: 80, ERROR: 95, CRITICAL: Number.POSITIVE_INFINITY },
  'memory.usage': { unit: '%', WARN: 80, ERROR: 90, CRITICAL: 97 },
  'disk.usage': { unit: '%', WARN: 80, ERROR: 90, CRITICAL: 97 },
  'loop.delay': { unit: 'ms', WARN: 50, ERROR: 500, CRITICAL: 5_000 },
  backlog: { unit: 'messages', WARN: 1_000, ERROR: 5_000, CRITICAL: 10_000 },
}

export type Limited = keyof typeof LIMITS

/** Holds values against their limits, and speaks up only when one has come to the other side. */
export class Limits {
  readonly #last = new Map<string, Priority>()

  check(what: Limited, value: number): { priority: Priority; crossing: Crossing } | undefined {
    const limits = LIMITS[what]
    const priority =
      (['CRITICAL', 'ERROR', 'WARN'] as const).find((level) => value >= limits[level]) ?? 'INFO'
    const last = this.#last.get(what) ?? 'INFO'
    this.#last.set(what, priority)
    if (priority === last) return undefined
    const limit = limits[priority === 'INFO' ? 'WARN' : priority]
    return { priority, crossing: { what, value, limit, unit: limits.unit } }
  }
}

/** A port that nobody listens on: it was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** What only ever grows. */
function counters() {
  const { user, system } = process.cpuUsage()
  const cores = cpus().map(({ times }) => {
    const all = times.user + times.nice + times.sys + times.irq + times.idle
    return { busy: all - times.idle, all }
  })
  return { at: performance.now(), processMs: (user + system) / 1_000, cores }
}

/** Of the container, where there is one. */
function memoryBytes(): number {
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
}

function percent(part: number, whole: number): number {
  return whole > 0 ? (part / whole) * 100 : 0
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length)
}
