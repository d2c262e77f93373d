import type { Driver } from '@notify/core'
import { like, type Saboteur } from './saboteur.ts'

export const LIFECYCLE: readonly Saboteur[] = [
  {
    name: 'shares-instance',
    case: 'LIF-01',
    caught: /a new driver each time/,
    sabotage() {
      let only: Driver | undefined
      return (driver) => {
        only ??= driver
        return only
      }
    },
  },
  {
    name: 'needs-health-first',
    case: 'LIF-03',
    caught: /the first publish connects by itself/,
    around: 'rabbit',
    sabotage: () => (driver) => {
      let asked = false
      return like(driver, {
        health(call) {
          asked = true
          return driver.health(call)
        },
        publish(batch, settle, call) {
          if (asked) return driver.publish(batch, settle, call)
          for (const message of batch) {
            settle(message, { code: 'UNAVAILABLE', retryable: true, maybeSent: false, scope: 'transport' })
          }
        },
      })
    },
  },
  {
    name: 'works-after-close',
    case: 'LIF-09',
    caught: /a closed driver settles with CLOSED/,
    sabotage: () => (driver) => like(driver, { async close() {} }),
  },
]
