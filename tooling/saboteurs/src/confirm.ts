import { like, type Saboteur } from './saboteur.ts'

export const CONFIRM: readonly Saboteur[] = [
  {
    name: 'ack-early',
    case: 'CNF-01',
    caught: /the broker has everything that was confirmed/,
    around: 'rabbit',
    sabotage: () => (driver) =>
      like(driver, {
        publish(batch, settle, call) {
          const handed = driver.publish(batch, () => {}, call)
          // It was written, so it will be there, will it not?
          setImmediate(() => batch.forEach((message) => void settle(message)))
          return handed
        },
      }),
  },
]
