import type { Definition } from '../case.ts'
import { CANCEL } from './cancel.ts'
import { CLOSE } from './close.ts'
import { CONFIRM } from './confirm.ts'
import { CONTENT } from './content.ts'
import { DELIVERY } from './delivery.ts'
import { ERRORS } from './errors.ts'
import { FLOW } from './flow.ts'
import { INSTANCES } from './instances.ts'
import { KEEPING } from './keeping.ts'
import { LIFECYCLE } from './lifecycle.ts'
import { RECOVER } from './recover.ts'
import { SETTLEMENT } from './settlement.ts'
import { SILENCE } from './silence.ts'
import { SUBSCRIPTIONS } from './subscriptions.ts'
import { REFUSALS } from './unsupported.ts'

/** All cases, in the order in which they are run: what is cheap and basic first. */
export const DEFINITIONS: readonly Definition[] = [
  ...LIFECYCLE,
  ...SUBSCRIPTIONS,
  ...DELIVERY,
  ...SETTLEMENT,
  ...KEEPING,
  ...CONTENT,
  ...CANCEL,
  ...FLOW,
  ...SILENCE,
  ...ERRORS,
  ...REFUSALS,
  ...INSTANCES,
  ...CLOSE,
  ...CONFIRM,
  ...RECOVER,
]
