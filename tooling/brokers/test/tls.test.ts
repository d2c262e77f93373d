import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { connect } from 'node:tls'
import { describe, expect, type TestContext, test } from 'vitest'
import { type Address, type CertificateOptions, certificate, eventually, openProxy } from '../src/index.ts'

describe('a proxy speaks TLS', () => {
  test('to clients that trust it, and cuts them as others', async (context) => {
    const address = await echo(context)
    const tls = certificate()
    const proxy = await openProxy(address, { tls })
    context.onTestFinished(() => proxy.close())
    const socket = connect({ ...proxy.address, ca: tls.cert })
    await once(socket, 'secureConnect')
    const asked = proxy.up.passes('hello')
    socket.write('hello')
    expect(String((await once(socket, 'data'))[0])).toBe('hello')
    expect(await asked).toEqual({ connection: 1, offset: 0 })
    const closed = new Promise((resolve) => socket.once('error', resolve))
    proxy.cut()
    expect(await closed).toMatchObject({ code: 'ECONNRESET' })
    await eventually(() => proxy.open === 0)
  })

  const untrusted: [string, CertificateOptions, boolean, string][] = [
    ['signed by nobody', {}, false, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['that has expired', { validForMs: -1_000 }, true, 'CERT_HAS_EXPIRED'],
    ['of another host', { name: 'other.example' }, true, 'ERR_TLS_CERT_ALTNAME_INVALID'],
  ]
  test.for(untrusted)('with a certificate %s', async ([_, options, trusted, code], context) => {
    const address = await echo(context)
    const tls = certificate(options)
    const proxy = await openProxy(address, { tls })
    context.onTestFinished(() => proxy.close())
    const socket = connect({ ...proxy.address, ...(trusted ? { ca: tls.cert } : {}) })
    await expect(once(socket, 'secureConnect')).rejects.toMatchObject({ code })
    await eventually(() => proxy.open === 0)
  })
})

/** Where something listens that says back what it hears. */
async function echo(context: TestContext): Promise<Address> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).pipe(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { host: '127.0.0.1', port: (server.address() as { port: number }).port }
}
