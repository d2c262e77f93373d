/** What is seen: one line for each event, in columns, the same in a terminal and in a file but for the colours. */

import { styleText } from 'node:util'
import type { Envelope, Priority } from '@notify/core'

type Style = Parameters<typeof styleText>[0]

const STYLES: Readonly<Record<Priority, Style>> = {
  DEBUG: 'gray',
  SAMPLE: 'cyan',
  INFO: 'green',
  AUDIT: 'blue',
  WARN: 'yellow',
  ERROR: 'red',
  CRITICAL: ['bold', 'inverse', 'red'],
}

const started = performance.now()

// Whoever reads may have seen enough: `pnpm demo | head`.
process.stdout.on('error', () => process.exit())

/** A chapter, and what to look out for in it. */
export function heading(title: string, lines: string): void {
  print('')
  print(paint(['bold'], `── ${title} ${'─'.repeat(Math.max(0, 75 - title.length))}`))
  for (const line of lines.split('\n')) print(paint('dim', `   ${line}`))
}

/** What was received, and how late, where that can be noticed. */
export function event({ priority, event_type, timestamp }: Envelope, text: string): void {
  const tag = paint(STYLES[priority], priority) + ' '.repeat(9 - priority.length)
  const late = Date.now() - Date.parse(timestamp)
  const delay = late < 100 ? '' : paint('dim', `  (${(late / 1_000).toFixed(1)} s late)`)
  print(`${clock()}  ${tag} ${event_type.padEnd(14)}  ${text}${delay}`)
}

/** What is going on beside it. */
export function note(text: string): void {
  print(`${clock()}  ${' '.repeat(9)} ${paint('dim', `→ ${text}`)}`)
}

/** What was claimed, and whether it holds. */
export function verdict(name: string, claim: string, holds: boolean): void {
  const mark = holds ? paint('green', '✓') : paint('red', '✗')
  print(`   ${name.padEnd(10)} ${claim} ${mark}`)
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function clock(): string {
  return paint('dim', ((performance.now() - started) / 1_000).toFixed(3).padStart(7))
}

/** Only where somebody can see it: `styleText` knows about terminals, NO_COLOR and FORCE_COLOR. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}
