import type { Codec } from '../codec.ts'
import type { Destination, Driver } from '../driver.ts'
import { isPriority, PRIORITIES, type Priority } from '../envelope.ts'
import { compileGlobs, type Glob } from '../glob.ts'
import { checkOptions, nearest, refuse } from '../options.ts'
import type { Sender } from '../sender/sender.ts'

/** Which notifications a driver gets. What is absent matches everything; what is present must match. */
export interface Rule {
  readonly event_type?: Glob | readonly Glob[]
  readonly priorities?: readonly Priority[]
}

/** A driver, and what is particular to its use here. */
export interface DriverEntry {
  readonly driver: Driver
  /** One rule, or several of which one must match. Absent: everything. */
  readonly when?: Rule | readonly Rule[]
  /** Default: the notifier's. */
  readonly codec?: Codec
  /**
   * Whether an emit waits for this driver. With `false`, its failures go to `onFailure` only. Where none of
   * the drivers that matched is required, an emit waits for all of them. Default: true.
   */
  readonly required?: boolean
}

/** Which emits an entry takes. */
export interface Match {
  matches(priority: Priority, event_type: string): boolean
  /** Whether there is an event type that matches. */
  handles(priority: Priority): boolean
}

/** An entry, compiled. */
export interface Route extends Match {
  /** Its place among the entries. */
  readonly entry: number
  readonly sender: Sender
  readonly codec: Codec
  readonly required: boolean
}

/** @throws NotifyError `INVALID` */
export function compileWhen(when: Rule | readonly Rule[] = {}): Match {
  const rules = [when].flat().map(compileRule)
  return {
    matches: (priority, event_type) => rules.some((rule) => rule.handles(priority) && rule.type(event_type)),
    handles: (priority) => rules.some((rule) => rule.handles(priority)),
  }
}

function compileRule(rule: Rule) {
  checkOptions('when', rule, ['event_type', 'priorities'])
  const { event_type, priorities } = rule
  if (event_type !== undefined && ![event_type].flat().every((glob) => typeof glob === 'string')) {
    refuse('when.event_type must be a glob, or an array of globs.')
  }
  checkPriorities('when.priorities', priorities)
  return {
    type: compileGlobs(event_type),
    handles: (priority: Priority) => priorities === undefined || priorities.includes(priority),
  }
}

/** Names of priorities in options, which TypeScript has not seen when they come from a file. */
export function checkPriorities(name: string, priorities: readonly Priority[] | undefined): void {
  if (priorities === undefined) return
  if (!Array.isArray(priorities)) refuse(`${name} must be an array of priorities.`)
  for (const priority of priorities) {
    if (isPriority(priority)) continue
    const near = nearest(String(priority), PRIORITIES)
    refuse(
      `${name} has "${String(priority)}", which is no priority.${near === undefined ? '' : ` Did you mean "${near}"?`}`,
    )
  }
}

/** The destinations of a topic, one for each priority in the order of PRIORITIES. */
export function destinationsOf(topic: string): readonly Destination[] {
  return PRIORITIES.map((priority) =>
    Object.freeze({ topic, priority, name: `${topic}.${priority.toLowerCase()}` }),
  )
}
