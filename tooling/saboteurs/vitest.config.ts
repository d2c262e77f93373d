import { withBrokers } from '../brokers/vitest.ts'

export default withBrokers('rabbit')
