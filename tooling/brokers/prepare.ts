/** `node tooling/brokers/prepare.ts`: downloads what tests will need, so that they can run without a network. */
import { defaultVersion, install } from './src/rabbit/versions.ts'

const asked = (['4.0', '3.10', '4.3'] as const).filter((each) => process.argv.includes(`rabbit@${each}`))
for (const version of asked.length > 0 ? asked : [defaultVersion()]) {
  const { server } = await install(version)
  console.log(`RabbitMQ ${version}: ${server}`)
}
