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
  CRITICAL: ['bold', 'red'],
}

/** What is routine is coloured by its tag alone. */
const PLAIN: readonly Priority[] = ['SAMPLE', 'INFO', 'AUDIT']
const WIDTH = 84

// Whoever reads may have seen enough: `pnpm demo | head`.
process.stdout.on('error', () => process.exit())

/** A chapter, and what to look out for in it. */
export function heading(title: string, hint: string): void {
  print('')
  print(paint(['bold'], `── ${title} ${'─'.repeat(WIDTH - 4 - title.length)}`))
  print(paint('dim', `   ${hint}`))
}

/** What was received, and how late, where that can be noticed. */
export function event({ priority, event_type, timestamp }: Envelope, text: string): void {
  const style = STYLES[priority]
  const loud = priority === 'CRITICAL' ? paint('inverse', priority) : priority
  const tag = paint(style, loud) + ' '.repeat(9 - priority.length)
  const said = PLAIN.includes(priority) ? text : paint(style, text)
  const ms = Date.now() - Date.parse(timestamp)
  const late = ms < 100 ? '' : paint('dim', `  (${(ms / 1_000).toFixed(1)} s late)`)
  print(`${clock()}  ${tag} ${event_type.padEnd(14)}  ${said}${late}`)
}

/** What is going on beside it. */
export function note(text: string): void {
  print(`${clock()}  ${' '.repeat(9)} ${paint('dim', `→ ${text}`)}`)
}

/** A sum, in as many lines as it takes, and whether it was found to hold. */
export function verdict(name: string, total: string, terms: readonly string[], holds: boolean): void {
  const lines = [`   ${name.padEnd(9)} ${total}`]
  for (const [index, term] of terms.entries()) {
    const plus = index === 0 ? ' ' : ' + '
    if ((lines.at(-1) as string).length + plus.length + term.length > WIDTH) lines.push(' '.repeat(12))
    lines.push(`${lines.pop()}${plus}${term}`)
  }
  print(`${lines.join('\n')} ${holds ? paint('green', '✓') : paint('red', '✗ does not hold')}`)
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function clock(): string {
  return paint('dim', (performance.now() / 1_000).toFixed(3).padStart(7))
}

/** Only where somebody can see it: `styleText` knows about terminals, NO_COLOR and FORCE_COLOR. */
function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout })
}
