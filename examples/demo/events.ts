import type { NotificationOf } from '@notify/core'
import { bar, bytes, count, duration, number } from './units.ts'

/** Everything that the demo emits: each event type with its payload. Others are compile errors. */
export interface Events {
  'watch.started': { node: string; pid: number; platform: string }
  'watch.stopped': { after_ms: number }
  'host.state': { cores: number; memory_bytes: number; up_ms: number }

  'cpu.usage': { percent: number; load: number }
  'cpu.cores': { percents: number[] }
  'memory.usage': { percent: number; total_bytes: number }
  'disk.usage': { percent: number; free_bytes: number }
  'loop.delay': { median_ms: number; longest_ms: number }
  'process.usage': { percent: number; rss_bytes: number }
  'process.trace': { user_us: number; system_us: number }

  'limit.crossed': Crossing
  'limit.cleared': Crossing

  'report.ready': { rounds: number; cpu_percent: number; delay_ms: number }
  'archive.failed': { code: string; folder: string }

  'broker.away': { driver: string; code: string }
  'broker.back': { driver: string; after_ms: number }
}

/** A value that has come to the other side of a limit. */
export interface Crossing {
  what: string
  value: number
  limit: number
  unit: string
}

type Sentences = { readonly [T in keyof Events]: (payload: Events[T]) => string }

const SENTENCES: Sentences = {
  'watch.started': ({ node, pid, platform }) => `process ${pid} on ${platform}, Node ${node}`,
  'watch.stopped': ({ after_ms }) => `after ${duration(after_ms)}`,
  'host.state': ({ cores, memory_bytes, up_ms }) =>
    `${count(cores, 'core')}, ${bytes(memory_bytes)}, up for ${duration(up_ms)}`,

  'cpu.usage': ({ percent, load }) => `${bar(percent)}  load ${load.toFixed(2)}`,
  'cpu.cores': ({ percents }) =>
    `one by one: ${percents.map((percent) => `${percent.toFixed(0)} %`).join(', ')}`,
  'memory.usage': ({ percent, total_bytes }) => `${bar(percent)}  of ${bytes(total_bytes)}`,
  'disk.usage': ({ percent, free_bytes }) => `${bar(percent)}  ${bytes(free_bytes)} free`,
  'loop.delay': ({ median_ms, longest_ms }) => `${duration(median_ms)}, ${duration(longest_ms)} at most`,
  'process.usage': ({ percent, rss_bytes }) => `${bar(percent)}  of a core, ${bytes(rss_bytes)}`,
  'process.trace': ({ user_us, system_us }) => `${user_us} µs in the program, ${system_us} µs in the system`,

  'limit.crossed': ({ what, value, limit, unit }) =>
    `${what} is at ${number(value)} ${unit}, the limit is ${number(limit)}`,
  'limit.cleared': ({ what, value, limit, unit }) =>
    `${what} is at ${number(value)} ${unit}, the limit is ${number(limit)}`,

  'report.ready': ({ rounds, cpu_percent, delay_ms }) =>
    `${count(rounds, 'round')}, CPU up to ${cpu_percent.toFixed(0)} %, delay up to ${duration(delay_ms)}`,
  'archive.failed': ({ code, folder }) => `${code}, there is no ${folder}`,

  'broker.away': ({ driver, code }) => `${driver}: ${code}`,
  'broker.back': ({ driver, after_ms }) => `${driver}, after ${duration(after_ms)}`,
}

/** A notification as a human reads it. */
export function sentence({ event_type, payload }: NotificationOf<Events>): string {
  return (SENTENCES[event_type] as (payload: object) => string)(payload)
}
