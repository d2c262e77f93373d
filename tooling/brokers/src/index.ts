/**
 * Real brokers for tests, examples and benches, and the troubles they can be put in.
 *
 * @module
 */
export {
  type Direction,
  openProxy,
  type Passage,
  type Pattern,
  type ProxyOptions,
  type Random,
  reservePorts,
  type Shape,
  seeded,
  type TcpProxy,
  type Watch,
} from '@notify/conformance/proxy'
export type { Address, Broker, BrokerNode, Exit, OwnBroker } from './broker.ts'
export { BrokerUnavailable, isUnavailable } from './broker.ts'
export { type Certificate, type CertificateOptions, certificate } from './certificate.ts'
export { eventually } from './eventually.ts'
export { type BrokerName, type Brokers, findOrStart, start } from './find.ts'
export type { RabbitFaults } from './rabbit/faults.ts'
export type { RabbitBroker, RabbitOptions } from './rabbit/index.ts'
export { type Oracle, rabbitOracle, type Stored } from './rabbit/oracle.ts'
export { orSkip, requireBroker, requireOwnBroker } from './require.ts'
