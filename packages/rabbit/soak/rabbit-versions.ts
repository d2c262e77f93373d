import { once } from 'node:events'
import { connect } from 'node:net'
import { start } from '@notify/brokers'
import { sum } from '../../../tooling/soak/figures.ts'
import type { SoakPromise } from '../../../tooling/soak/promise.ts'
import { runSuite } from '../../../tooling/soak/suite.ts'
import { Unproven } from '../test/rounds/round.ts'

const VERSIONS = ['3.10', '4.3'] as const

interface Round {
  readonly version: string
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

const promise: SoakPromise<Round> = {
  name: 'rabbit-versions',
  title: "the driver's own tests pass on the oldest RabbitMQ that is looked after here, and on the newest",
  rounds: VERSIONS.length,
  async open() {
    const versions: Record<string, string> = {}
    for (const version of VERSIONS) versions[`RabbitMQ ${version}`] = await versionOf(version)
    return {
      versions,
      async round({ index }) {
        const version = VERSIONS[index] as (typeof VERSIONS)[number]
        await checkNobodyElse()
        const env = {
          NOTIFY_RABBIT_VERSION: version,
          NOTIFY_RABBIT_URL: undefined,
          NOTIFY_REQUIRE_BROKERS: '1',
        }
        const { passed, failed, skipped, errors } = runSuite(['--project', '@notify/rabbit'], env)
        if (failed > 0 || errors.length > 0) throw new Error(`${failed} failed: ${errors.join('; ')}`)
        return {
          version: versions[`RabbitMQ ${version}`] as string,
          passed,
          failed,
          skipped: skipped.length,
        }
      },
      close: async () => {},
    }
  },
  summary: (rounds) => ({
    passed: rounds.map(({ version, passed }) => `${passed} on ${version}`).join(', '),
    failed: sum(rounds, ({ failed }) => failed),
    skipped: sum(rounds, ({ skipped }) => skipped),
  }),
}

/** What is behind the name: the newest one moves, and where it cannot be had another one takes its place. */
async function versionOf(version: (typeof VERSIONS)[number]): Promise<string> {
  const broker = await start('rabbit', { version })
  const came = broker.version
  await broker.stop()
  const asked = version === '3.10' ? /^3\.10\./ : /^4\.([3-9]|\d\d)\.|^[5-9]\./
  if (!asked.test(came)) throw new Unproven(`RabbitMQ ${version} was asked for, and ${came} came`)
  return came
}

/** Tests that break nothing would take the one that listens where RabbitMQ usually does. */
async function checkNobodyElse(): Promise<void> {
  const socket = connect(5672, '127.0.0.1')
  try {
    await once(socket, 'connect')
  } catch {
    return
  } finally {
    socket.destroy()
  }
  throw new Unproven('a RabbitMQ listens on port 5672')
}

export default promise
