/**
 * The conformance suite for drivers: every promise of the driver contract as a case, for any test runner or none.
 *
 * @example
 * import { register } from '@notify/conformance'
 * import { afterAll, describe, test } from 'vitest'
 * import load from './harness.ts'
 *
 * register({ describe, test, afterAll })(load)
 *
 * @module
 */
export type { Case, Need, Result, Status } from './case.ts'
export { type ConformanceOptions, conformance, type Facts, type Suite } from './conformance.ts'
export type { Address, Faults, Harness, Load, OpenOptions, RawMessage, Reader, Stored } from './harness.ts'
export { type RegisterOptions, type Runner, register } from './register.ts'
export { type Report, report, toMarkdown } from './report.ts'
