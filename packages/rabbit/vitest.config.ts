import { withBrokers } from '../../tooling/brokers/vitest.ts'

export default withBrokers('rabbit')
