import { withBrokers } from './vitest.ts'

export default withBrokers('rabbit')
