import { type Broker, isUnavailable } from './broker.ts'
import { type BrokerName, type Brokers, findOrStart, start } from './find.ts'

/** What is used of a test's context. */
export interface TestContext {
  skip(reason: string): never
  onTestFinished(task: () => Promise<void>): void
}

/**
 * A broker for a test that breaks nothing; see `findOrStart`. Where there is none the test is skipped and says
 * why, but fails in CI, which has to have one.
 */
export async function requireBroker(context: TestContext, name: BrokerName): Promise<Broker> {
  return await orSkip(context, findOrStart(name))
}

/** A broker for this test alone, which ends with it; see `start`. */
export async function requireOwnBroker<N extends BrokerName>(
  context: TestContext,
  name: N,
  options?: Brokers[N]['options'],
): Promise<Brokers[N]['own']> {
  const broker = await orSkip(context, start(name, options))
  context.onTestFinished(() => broker.stop())
  return broker
}

/**
 * What a promise of a broker comes to; where the broker cannot be had, the test is skipped. For one that a file's
 * tests share:
 *
 * @example
 * let started: Promise<RabbitBroker> | undefined
 * const rabbit = (context: TestContext) => orSkip(context, (started ??= start('rabbit')))
 * afterAll(() => started?.then((broker) => broker.stop(), () => {}))
 */
export async function orSkip<T>(context: Pick<TestContext, 'skip'>, broker: Promise<T>): Promise<T> {
  try {
    return await broker
  } catch (error) {
    if (isUnavailable(error) && !isRequired()) context.skip(error.message)
    throw error
  }
}

function isRequired(): boolean {
  const { CI, NOTIFY_REQUIRE_BROKERS } = process.env
  return CI === 'true' || NOTIFY_REQUIRE_BROKERS === '1'
}
