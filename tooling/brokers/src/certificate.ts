import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

/** For a TLS server: PEM. A client that is to trust it has `cert` as its authority. */
export interface Certificate {
  readonly key: string
  readonly cert: string
}

export interface CertificateOptions {
  /** For whom it is. Default: localhost, and 127.0.0.1. */
  readonly name?: string
  /** Default: in a day; a negative one has expired. */
  readonly validForMs?: number
}

const DAY_MS = 86_400_000

const OID = {
  ecdsaWithSha256: '2a8648ce3d040302',
  commonName: '550403',
  subjectAltName: '551d11',
}

/** Makes a certificate that signs itself. */
export function certificate({ name, validForMs = DAY_MS }: CertificateOptions = {}): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const end = Date.now() + validForMs
  const body = toBeSigned(name ?? 'localhost', name === undefined, publicKey, end - 2 * DAY_MS, end)
  const signature = sign('sha256', body, privateKey)
  const der = sequence(body, sequence(oid(OID.ecdsaWithSha256)), bits(signature))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}

function toBeSigned(name: string, loopback: boolean, key: KeyObject, from: number, to: number): Buffer {
  const who = sequence(element(0x31, sequence(oid(OID.commonName), element(0x0c, Buffer.from(name)))))
  const names = [element(0x82, Buffer.from(name))]
  if (loopback) names.push(element(0x87, Buffer.from([127, 0, 0, 1])))
  const extension = sequence(oid(OID.subjectAltName), element(0x04, sequence(...names)))
  return sequence(
    element(0xa0, element(0x02, Buffer.from([2]))), // version 3
    element(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    sequence(oid(OID.ecdsaWithSha256)),
    who,
    sequence(time(from), time(to)),
    who,
    key.export({ type: 'spki', format: 'der' }),
    element(0xa3, sequence(extension)),
  )
}

/** DER: a tag, a length, a content. */
function element(tag: number, content: Buffer): Buffer {
  const { length } = content
  const long = [...(length > 0xff ? [length >> 8] : []), length & 0xff]
  const size = length < 0x80 ? [length] : [0x80 | long.length, ...long]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return element(0x30, Buffer.concat(parts))
}

function oid(hex: string): Buffer {
  return element(0x06, Buffer.from(hex, 'hex'))
}

function bits(bytes: Buffer): Buffer {
  return element(0x03, Buffer.concat([Buffer.from([0]), bytes]))
}

/** `20261122130000Z` */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, '')
  return element(0x18, Buffer.from(digits))
}
