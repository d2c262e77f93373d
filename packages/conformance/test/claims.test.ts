import { describe, expect, test } from 'vitest'
import { Claims } from '../src/claims.ts'

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)

describe('a claim', () => {
  test.each<[string, (claims: Claims) => void, string]>([
    ['equal', (claims) => claims.equal(1, 2, 'rule'), 'rule: expected 2, found 1'],
    ['sameIds', (claims) => claims.sameIds(['a'], ['a', 'b'], 'rule'), 'rule: missing 1: b'],
    [
      'sameIds, twice',
      (claims) => claims.sameIds(['a', 'a'], ['a'], 'rule'),
      'rule: another number of 1: a (2 for 1)',
    ],
    ['sameSet', (claims) => claims.sameSet(['a', 'a'], ['b'], 'rule'), 'rule: missing 1: b; extra 1: a'],
    ['includes', (claims) => claims.includes(['a'], ['a', 'b'], 'rule'), 'rule: missing 1: b'],
    ['excludes', (claims) => claims.excludes(['a', 'b'], ['b'], 'rule'), 'rule: found 1: b'],
    [
      'sameOrder',
      (claims) => claims.sameOrder(['a', 'c'], ['a', 'b'], 'rule'),
      'rule: at 1: expected "b", found "c"',
    ],
    [
      'sameOrder, longer',
      (claims) => claims.sameOrder(['a', 'b'], ['a'], 'rule'),
      'rule: at 1: expected nothing, found "b"',
    ],
    [
      'bytes',
      (claims) => claims.bytes(bytes(1, 2), bytes(1, 3), 'rule'),
      'rule: 2 bytes of 2, the first difference at 1: 2 for 3',
    ],
    [
      'bytes, cut off',
      (claims) => claims.bytes(bytes(1), bytes(1, 3), 'rule'),
      'rule: 1 bytes of 2, the first difference at 1: the end for 3',
    ],
    ['headers', (claims) => claims.headers({ a: '1' }, { a: '2' }, 'rule'), 'rule: "a": "1" for "2"'],
    [
      'headers, by prototype',
      (claims) => claims.headers({}, { constructor: 'x' }, 'rule'),
      'rule: "constructor": nothing for "x"',
    ],
    ['failed', (claims) => claims.failed('confirmed', {}, 'rule'), 'rule: it was confirmed'],
    ['failed, never', (claims) => claims.failed(undefined, {}, 'rule'), 'rule: it was never settled'],
    [
      'failed, otherwise',
      (claims) =>
        claims.failed(
          { code: 'CLOSED', retryable: false, maybeSent: false, scope: 'message' },
          { code: 'CLOSED', maybeSent: true },
          'rule',
        ),
      'rule: CLOSED (final, not sent, message): maybeSent is false, not true',
    ],
  ])('that does not hold says what was found: %s', (_, claim, message) => {
    const claims = new Claims()
    expect(() => claim(claims)).toThrow(message)
    expect(claims.count).toBe(1)
  })

  test('that holds is counted', () => {
    const claims = new Claims()
    claims.equal(1, 1, 'rule')
    claims.sameIds(['a', 'b', 'a'], ['a', 'a', 'b'], 'rule')
    claims.sameSet(['a', 'a'], ['a'], 'rule')
    claims.includes(['a', 'b'], ['a'], 'rule')
    claims.excludes(['a'], ['b'], 'rule')
    claims.sameOrder(['a', 'b'], ['a', 'b'], 'rule')
    claims.bytes(bytes(1, 2), bytes(1, 2), 'rule')
    claims.headers({ a: '1' }, { a: '1' }, 'rule')
    claims.failed(
      { code: 'CLOSED', retryable: false, maybeSent: false, scope: 'message' },
      { code: 'CLOSED' },
      'rule',
    )
    expect(claims.count).toBe(9)
  })
})
