import type { TestContext } from 'vitest'
import { greet } from '../src/rabbit/greeting.ts'

/** For tests of what happens where no broker was started by hand. */
export async function skipIfFound(context: TestContext): Promise<void> {
  const found = await greet({ host: '127.0.0.1', port: 5672 }, 1_000).catch(() => undefined)
  context.skip(found !== undefined, 'a RabbitMQ listens on 5672 here')
}
