/** After a loss, an alarm, and the loss of a destination. */
import type { Definition } from '../case.ts'
import { RECONNECTS } from './reconnects.ts'
import { REMOVALS } from './removals.ts'
import { STATES } from './states.ts'

export const RECOVER: readonly Definition[] = [...STATES, ...REMOVALS, ...RECONNECTS]
