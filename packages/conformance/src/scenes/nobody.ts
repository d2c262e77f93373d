import type { Address } from '../harness.ts'
import { reservePorts } from '../proxy/ports.ts'
import type { Trial } from '../trial.ts'

/** Where nobody listens, as long as the case lasts. */
export async function nobody(trial: Trial): Promise<Address> {
  const { ports, release } = await reservePorts(1)
  trial.after(release)
  return { host: '127.0.0.1', port: ports[0] as number }
}
