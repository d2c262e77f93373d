/** Bytes and texts that something on the way could take for something else. */

const ENCODER = new TextEncoder()
const ALL: readonly number[] = Array.from({ length: 256 }, (_, value) => value)

/** A view in the middle of a larger buffer, as a program's own bytes often are. */
function inside(bytes: Uint8Array): Uint8Array {
  const buffer = new Uint8Array(bytes.length + 20).fill(0x21)
  buffer.set(bytes, 7)
  return buffer.subarray(7, 7 + bytes.length)
}

export const BODIES: readonly Uint8Array[] = [
  Uint8Array.from(ALL),
  Uint8Array.from(ALL).reverse(),
  // The same in parts, for what takes no more.
  ...[0, 1, 2, 3].map((part) => Uint8Array.from(ALL.slice(part * 64, part * 64 + 64))),
  // What is no UTF-8: cut short, too long, a surrogate, beyond the last character.
  Uint8Array.of(0xc3),
  Uint8Array.of(0xc0, 0x80, 0xe0, 0x80, 0x80),
  Uint8Array.of(0xed, 0xa0, 0x80),
  Uint8Array.of(0xf5, 0x80, 0x80, 0x80),
  Uint8Array.of(0x61, 0xff, 0x62),
  // Marks of byte order, which decoders take away.
  Uint8Array.of(0xef, 0xbb, 0xbf, 0x61),
  Uint8Array.of(0xff, 0xfe, 0x61, 0x00),
  Uint8Array.of(0x00),
  new Uint8Array(100),
  // What looks like an encoding, a compression or a document.
  Uint8Array.of(0x1f, 0x8b, 0x08, 0x00),
  ...['aGVsbG8=', '{"a":1}', 'null', '"text"', ' padded ', 'line\r\n', '\r\nline\n', '%41', '\u0000'].map(
    (text) => ENCODER.encode(text),
  ),
  inside(ENCODER.encode('{"inside":true}')),
  Buffer.from('{"pooled":true}'),
]

/** Legal names of headers. */
export const NAMES: readonly string[] = [
  'Trace-Id',
  'trace-id',
  'TRACE-ID',
  'a',
  '0',
  '42',
  'a.b_c-d',
  '9-lives',
  'ends-',
  'x'.repeat(127),
  'traceparent',
  'Content-Type',
  'message-id',
  'timestamp',
  'length',
]

/** Legal values of headers. */
export const VALUES: readonly string[] = [
  '',
  ' ',
  ' both ends ',
  'ü',
  // Composed and decomposed: to be left as they are.
  'caf\u00e9',
  'cafe\u0301',
  '日本語',
  'שלום',
  '😀👩‍👩‍👧',
  '\u{10ffff}',
  '\ufffd',
  '\uffff',
  '\ufeffmarked',
  '\u2028',
  '"quoted"',
  "it's",
  '`$' + '{x}`',
  'a\\b',
  '../../etc/passwd',
  '%41%00',
  'a,b;c=d: e',
  '=?utf-8?Q?=41?=',
  '{"a":[1]}',
  '[object Object]',
  'null',
  'undefined',
  'true',
  '12',
  '-0',
  '1e3',
  '2026-01-01T00:00:00Z',
  'YmFzZTY0',
  '<b>&amp;</b>',
  "'; DROP TABLE orders; --",
  'x'.repeat(1_500),
]

/** Names that no header may have. */
export const ILLEGAL_NAMES: readonly string[] = [
  '',
  ' ',
  'a b',
  ' a',
  'a ',
  '-a',
  '.a',
  '_a',
  '__proto__',
  'a:b',
  'a/b',
  'a\nb',
  'a\r\n',
  'a\0',
  'ü',
  'naïve',
  '名',
  'a\u200b',
  'x'.repeat(128),
]

/** Values that no header may have: with control characters, or halves of a character. */
export const ILLEGAL_VALUES: readonly string[] = [
  '\0',
  'a\0b',
  '\t',
  'a\nb',
  'a\r\nEvil: yes',
  'end\n',
  '\u0001',
  '\u001f',
  '\u007f',
  '\ud800',
  '\udfff',
  'a\ud83d',
  '\ude00\ud83d',
]

export const TYPES: readonly string[] = [
  'application/json',
  'application/octet-stream',
  'text/plain; charset=utf-8',
  'application/cloudevents+json; charset="utf-8"',
  'application/vnd.shop.order.v2+json',
  'image/svg+xml',
  'application/json',
]

export const KEYS: readonly string[] = [
  'order-12',
  '0',
  ' ',
  'a b',
  'ü',
  '日本語',
  '😀',
  'null',
  'a/b:c|d.e',
  '"quoted"',
  'YQ==',
  'k'.repeat(255),
  'ü'.repeat(255),
]

/** What ends a line, a text or a path, and what stands for any word or for all. */
export const BREAKERS: readonly string[] = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  '*',
  '>',
  '#',
  '/',
  '.*',
  '.#',
  '.>',
  '/../',
]

/** Legal names of headers that one broker or another acts on, each with a value that would do harm. */
export const ACTED_ON: readonly (readonly [string, string])[] = [
  ['x-delivery-count', '77'],
  ['x-acquired-count', '77'],
  ['x-death', '1'],
  ['x-delay', '60000'],
  ['x-message-ttl', '1'],
  ['expiration', '1'],
  ['priority', '9'],
  ['reply-to', 'nobody'],
  ['content-encoding', 'gzip'],
  ['Nats-Rollup', 'all'],
  ['Nats-Rollup', 'sub'],
  ['Nats-TTL', '1s'],
  ['Nats-Msg-Id', 'one'],
  ['Nats-Msg-Id', 'one'],
  ['Nats-Expected-Stream', 'another'],
  ['Nats-Expected-Last-Sequence', '0'],
  ['Status', '503'],
  ['KV-Operation', 'PURGE'],
  ['MessageGroupId', 'one'],
  ['MessageDeduplicationId', 'one'],
  ['DelaySeconds', '60'],
]
