import type { Call } from '../call.ts'
import type { Claims } from '../claims.ts'

/** What was said of each message, against what the broker holds: what was confirmed is there, what was not sent is not. */
export function truthful(
  claims: Claims,
  calls: readonly Call[],
  stored: readonly string[],
  when: string,
): void {
  const confirmed = new Set<string>()
  const possible = new Set<string>()
  const denied = new Set<string>()
  for (const call of calls) {
    for (const message of call.batch) {
      const outcome = call.outcome(message)
      if (outcome === 'confirmed') confirmed.add(message.id)
      else if (outcome === undefined || outcome.maybeSent) possible.add(message.id)
      else denied.add(message.id)
    }
  }
  claims.includes(stored, confirmed, `${when}, the broker has everything that was confirmed`)
  const nowhere = [...denied].filter((id) => !confirmed.has(id) && !possible.has(id))
  claims.excludes(stored, nowhere, `${when}, what was not sent, by its failure, is not in the broker`)
}
