import { CANCEL } from './cancel.ts'
import { CLOSE } from './close.ts'
import { CONFIRM } from './confirm.ts'
import { CONTENT } from './content.ts'
import { DELIVERY } from './delivery.ts'
import { ERRORS } from './errors.ts'
import { FLOW } from './flow.ts'
import { KEEPING } from './keeping.ts'
import { LIFECYCLE } from './lifecycle.ts'
import { RECOVER } from './recover.ts'
import type { Saboteur } from './saboteur.ts'
import { SETTLEMENT } from './settlement.ts'
import { SUBSCRIPTIONS } from './subscriptions.ts'

/** All saboteurs, by the file of the cases that catch them. */
export const SABOTEURS: readonly Saboteur[] = [
  ...LIFECYCLE,
  ...SUBSCRIPTIONS,
  ...DELIVERY,
  ...SETTLEMENT,
  ...KEEPING,
  ...CONTENT,
  ...CANCEL,
  ...FLOW,
  ...ERRORS,
  ...CLOSE,
  ...CONFIRM,
  ...RECOVER,
]
