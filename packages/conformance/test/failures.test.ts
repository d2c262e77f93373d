import { failure } from '@notify/core'
import { describe, expect, test } from 'vitest'
import { classOf, findSecret, flawOf, rejectedWith } from '../src/checks/failures.ts'
import { Claims } from '../src/claims.ts'

const LOST = failure('UNAVAILABLE', 'lost', 'It is gone.', { retryable: true, scope: 'transport' })

describe('a failure', () => {
  test('is whole with what core needs, and says what it lacks otherwise', () => {
    expect(flawOf(LOST)).toBeUndefined()
    const { scope: _, ...half } = LOST
    const flaws = [undefined, 'lost', half, { ...LOST, code: 'ENOENT' }, { ...LOST, reason: 'Not kebab' }]
    expect(flaws.map(flawOf)).toEqual([
      'it is nothing',
      'it is "lost"',
      'it has no scope',
      'code is "ENOENT"',
      'reason is "Not kebab"',
    ])
    expect(flawOf({ ...LOST, retryable: false })).toBe('UNAVAILABLE is said to be final')
    expect(flawOf({ ...LOST, retryAfterMs: Number.NaN })).toBe('retryAfterMs is NaN')
  })

  test('is plain data, and nothing that a class, a getter or a prototype gives', () => {
    expect(classOf(LOST)).toBeUndefined()
    expect(classOf(Object.assign(Object.create(null), LOST))).toBeUndefined()
    expect(classOf(Object.assign(new Error('lost'), LOST))).toBe('it is a "Error"')
    expect(classOf(Object.create(LOST))).toBe('it is a "Object"')
    expect(classOf(Object.defineProperty({}, 'code', { get: () => 'CLOSED', enumerable: true }))).toBe(
      'code is no plain field',
    )
  })

  test('may be of any class where it is rejected with', () => {
    const claims = new Claims()
    const error = Object.assign(new Error('lost'), LOST)
    expect(rejectedWith(claims, error, { code: 'UNAVAILABLE' }, 'it fails')).toBe(error)
    const bad = [undefined, null, 'lost', new Error('lost'), failure('CLOSED')]
    for (const each of bad) {
      expect(() => rejectedWith(claims, each, { code: 'UNAVAILABLE' }, 'it fails')).toThrow(
        /^it fails: it |^it fails: CLOSED/,
      )
    }
  })
})

describe('a secret', () => {
  const secret = 'conformance123secret'

  test('is found wherever somebody could read it', () => {
    const native = Object.defineProperty(new Error('refused'), 'url', { value: `acme://a:${secret}@b` })
    const circle: Record<string, unknown> = { bytes: Buffer.from(`x${secret}`) }
    circle.self = circle
    expect([
      findSecret({ message: `no ${secret}` }, secret),
      findSecret({ cause: new Error('lost', { cause: native }) }, secret),
      findSecret({ cause: circle }, secret),
      findSecret({ cause: new Map([['a', [secret]]]) }, secret),
      findSecret(
        {
          cause: {
            get url() {
              return new URL(`acme://a:${secret}@b`)
            },
          },
        },
        secret,
      ),
    ]).toEqual(['message', 'cause.cause.url', 'cause.bytes', 'cause.value.0', 'cause.url.href'])
  })

  test('is found in Base64, wherever it begins', () => {
    for (const before of ['', 'a', 'ab', '\0guest\0']) {
      const header = `Basic ${Buffer.from(`${before}${secret} and more`).toString('base64')}`
      expect(findSecret({ header }, secret)).toBe('header')
    }
  })

  test('is not found where there is none', () => {
    expect(findSecret({ ...LOST, cause: new Error('conformance secret') }, secret)).toBeUndefined()
  })
})
