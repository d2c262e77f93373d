import { type Certificate, certificate, openProxy, requireBroker } from '@notify/brokers'
import { expect, type TestContext, test } from 'vitest'
import { type Outcome, placeAt, publishOne } from './support.ts'

/** Publishes to a broker that shows this certificate, by a driver that trusts that authority. */
async function publishTo(context: TestContext, shown: Certificate, ca: string | undefined): Promise<Outcome> {
  const broker = await requireBroker(context, 'rabbit')
  const { driver, destination } = placeAt(context, broker)
  const proxy = await openProxy(broker, { tls: shown })
  context.onTestFinished(() => proxy.close())
  const { username, password } = new URL(broker.url)
  const url = `amqps://${username}:${password}@localhost:${proxy.address.port}`
  return await publishOne(driver({ url, ...(ca === undefined ? {} : { tls: { ca } }) }), destination())
}

const REFUSED = {
  code: 'UNAUTHENTICATED',
  reason: 'tls',
  retryable: false,
  maybeSent: false,
  scope: 'transport',
}

test('over TLS, with an authority that is trusted', { tags: ['broker'] }, async (context) => {
  const shown = certificate()
  expect(await publishTo(context, shown, shown.cert)).toBe('confirmed')
})

test('a certificate that nobody vouches for is refused', { tags: ['broker'] }, async (context) => {
  expect(await publishTo(context, certificate(), undefined)).toMatchObject(REFUSED)
  expect(await publishTo(context, certificate(), certificate().cert)).toMatchObject(REFUSED)
})

test('a certificate of another host is refused, and one that has expired', {
  tags: ['broker'],
}, async (context) => {
  const other = certificate({ name: 'rabbit.internal' })
  expect(await publishTo(context, other, other.cert)).toMatchObject(REFUSED)
  const expired = certificate({ validForMs: -1_000 })
  expect(await publishTo(context, expired, expired.cert)).toMatchObject(REFUSED)
})
