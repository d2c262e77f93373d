/** `node tooling/brokers/prepare.ts`: downloads what tests will need, so that they can run without a network. */
import { install } from './src/rabbit/versions.ts'

const known = ['4.0', '3.10', '4.3'] as const
const asked = known.filter((version) => process.argv.includes(`rabbit@${version}`))
for (const version of asked.length > 0 ? asked : (['4.0'] as const)) {
  const { server } = await install(version)
  console.log(`RabbitMQ ${version}: ${server}`)
}
