/**
 * Real brokers for tests, examples and benches, and the troubles they can be put in.
 *
 * @module
 */
export type { Address, Broker, BrokerNode, Exit, OwnBroker } from './broker.ts'
export { BrokerUnavailable, isUnavailable } from './broker.ts'
export { eventually } from './eventually.ts'
export { type BrokerName, type Brokers, findOrStart, start } from './find.ts'
export { reservePorts } from './ports.ts'
export { type Certificate, type CertificateOptions, certificate } from './proxy/certificate.ts'
export type { Direction, Passage, Pattern, Shape, Watch } from './proxy/direction.ts'
export { openProxy, type ProxyOptions, type TcpProxy } from './proxy/proxy.ts'
export type { RabbitFaults } from './rabbit/faults.ts'
export type { RabbitBroker, RabbitOptions } from './rabbit/index.ts'
export { type Oracle, rabbitOracle, type Stored } from './rabbit/oracle.ts'
export { type Random, seeded } from './random.ts'
export { orSkip, requireBroker, requireOwnBroker } from './require.ts'
