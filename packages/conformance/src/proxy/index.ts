/**
 * The TCP proxy that the suite puts between a driver and its broker, for tests of your own.
 *
 * @module
 */

export type { Direction, Passage, Pattern, Shape, Watch } from './direction.ts'
export { type Ports, reservePorts } from './ports.ts'
export { openProxy, type ProxyOptions, type TcpProxy } from './proxy.ts'
export { type Random, seeded } from './random.ts'
