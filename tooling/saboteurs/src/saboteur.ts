/**
 * Drivers that break one promise each, to prove that the suite would notice.
 *
 * A saboteur takes a driver and gives one that is worse. It needs nothing but the driver's public interface, so that
 * the same one goes around any driver. The case that it names must fail with it, by a claim of its own, and pass without it.
 */

import type { Harness, Load, OpenOptions } from '@notify/conformance'
import type { Driver } from '@notify/core'

export interface Saboteur {
  /** What it does wrong: `acks-on-receive`. */
  readonly name: string
  /** The case that must catch it: `ACK-05`. */
  readonly case: string
  /** The claim by which it is caught. */
  readonly caught: RegExp
  /**
   * The least driver around which its case can run: where memory is `blocked`, one with a real process behind it.
   * Default: `memory`.
   */
  readonly around?: Base
  /** Why it cannot be made from outside: then it is a driver of its own, whatever it is put around. */
  readonly scripted?: string
  /** What it has in common for all drivers of one run, in its closure. Gives what is put around each. */
  sabotage(): (driver: Driver, options: OpenOptions) => Driver
}

/** Around what a saboteur is put. `leased`: memory, for cases about leases: it holds longer than any. */
export type Base = 'memory' | 'leased' | 'template' | 'rabbit'

/** The same harness, with a saboteur around every driver that it gives. */
export function sabotaged(load: Load, { name, sabotage }: Pick<Saboteur, 'name' | 'sabotage'>): Load {
  return async (): Promise<Harness> => {
    const harness = await load()
    const around = sabotage()
    const { borrow } = harness
    // Child processes load that module, and get the same saboteur.
    const url = new URL('./child.ts', import.meta.url)
    url.searchParams.set('harness', harness.url)
    url.searchParams.set('saboteur', name)
    return {
      ...harness,
      url: url.href,
      open: async (options = {}) => around(await harness.open(options), options),
      ...(borrow === undefined
        ? {}
        : {
            async borrow() {
              const { driver, isOpen } = await borrow.call(harness)
              return { driver: around(driver, {}), isOpen }
            },
          }),
    }
  }
}

/**
 * A driver like another one, but for some of its parts. What the other one leaves out stays out, so that a saboteur
 * may speak of `subscribe` without asking whether there is one.
 */
export function like(driver: Driver, parts: Partial<Driver>): Driver {
  const { subscribe, observe, native } = driver
  return {
    contract: driver.contract,
    name: driver.name,
    capabilities: parts.capabilities ?? driver.capabilities,
    publish: parts.publish ?? ((batch, settle, call) => driver.publish(batch, settle, call)),
    health: parts.health ?? ((call) => driver.health(call)),
    close: parts.close ?? ((call) => driver.close(call)),
    ...(subscribe === undefined
      ? {}
      : {
          subscribe:
            parts.subscribe ?? ((...args: Parameters<typeof subscribe>) => subscribe.apply(driver, args)),
        }),
    ...(observe === undefined
      ? {}
      : {
          observe:
            parts.observe ?? ((listener: Parameters<typeof observe>[0]) => observe.call(driver, listener)),
        }),
    ...(native === undefined ? {} : { native: parts.native ?? (() => native.call(driver)) }),
  }
}
