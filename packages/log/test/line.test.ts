import { describe, expect, test } from 'vitest'
import { type LogOptions, log } from '../src/index.ts'
import { message, publish, raw, Valve } from './support.ts'

async function lineOf(one: Parameters<typeof publish>[1][number], options: LogOptions = {}): Promise<string> {
  const stream = new Valve()
  expect(await publish(log({ ...options, stream }), [one])).toEqual(['confirmed'])
  expect(stream.taken.length).toBe(1)
  expect(stream.taken[0]?.endsWith('\n')).toBe(true)
  return stream.lines[0] as string
}

async function jsonOf(one: Parameters<typeof publish>[1][number], options: LogOptions = {}) {
  return JSON.parse(await lineOf(one, { ...options, format: 'json' }))
}

describe('a line', () => {
  test('of text names when, how bad, what, who and the payload first', async () => {
    expect(await lineOf(message({ instance_id: 12 }, { priority: 'ERROR' }))).toBe(
      '2026-11-22T09:30:00.123Z ERROR    compute.create_instance compute.host1 {"instance_id":12} message_id=0d7f topic=notifications',
    )
  })

  test('of text puts in quotes what could be mistaken, and shows headers, key and extra fields', async () => {
    const body = Buffer.from(
      '{"event_type":"Instance Creation","publisher_id":"a=b","payload":[1],"trace":{"id":7}}',
    )
    expect(await lineOf(message({}, { body, key: 'k 1', headers: { 'x-a': 'b' } }))).toBe(
      '- INFO     "Instance Creation" "a=b" [1] message_id=0d7f topic=notifications key="k 1" headers={"x-a":"b"} extra={"trace":{"id":7}}',
    )
  })

  test('of JSON has the wire names', async () => {
    const one = message(
      { n: 1.5, list: [null, true, 'é🦆'] },
      { priority: 'AUDIT', key: 'k', headers: { a: '' } },
    )
    expect(await jsonOf(one)).toEqual({
      level: 'info',
      timestamp: '2026-11-22T09:30:00.123Z',
      priority: 'AUDIT',
      event_type: 'compute.create_instance',
      publisher_id: 'compute.host1',
      message_id: '0d7f',
      topic: 'notifications',
      key: 'k',
      headers: { a: '' },
      payload: { n: 1.5, list: [null, true, 'é🦆'] },
    })
  })

  test('is made of any bytes', async () => {
    expect((await jsonOf(raw(Uint8Array.of(0xff, 0)))).payload).toBe('[2 bytes that are not UTF-8]')
    expect((await jsonOf(raw(''))).payload).toBe('')
    expect((await jsonOf(raw('not JSON'))).payload).toBe('not JSON')
    expect((await jsonOf(raw('[1]'))).payload).toEqual([1])
    expect((await jsonOf(raw('null'))).payload).toBe(null)
    expect((await jsonOf(raw('{"a":1}'))).payload).toEqual({ a: 1 })
    expect((await jsonOf(raw('{"event_type":{"odd":1}}'))).event_type).toEqual({ odd: 1 })
  })

  test('unwraps the second format of oslo.messaging', async () => {
    const inner = {
      event_type: 'a.b',
      publisher_id: 'p',
      payload: { auth_token: 'hunter2' },
      _context_user: 'u',
    }
    const body = JSON.stringify({ 'oslo.version': '2.0', 'oslo.message': JSON.stringify(inner) })
    expect(await jsonOf(raw(body))).toMatchObject({
      event_type: 'a.b',
      payload: { auth_token: '***' },
      extra: { _context_user: 'u' },
    })
  })
})

describe('secrets', () => {
  // The list of oslo.utils 8, as it stands there.
  const oslo =
    `adminpass admin_pass password admin_password auth_token new_pass auth_password secret_uuid secret
    sys_pswd token configdrive chappassword encrypted_key private_key fernetkey sslkey passphrase cephclusterfsid
    octaviaheartbeatkey rabbitcookie cephmanilaclientkey pacemakerremoteauthkey designaterndckey cephadminkey
    heatauthencryptionkey cephclientkey keystonecredential barbicansimplecryptokek cephrgwkey swifthashsuffix
    migrationsshkey cephmdskey cephmonkey`.split(/\s+/)

  test('are hidden by every name that oslo knows, in any case, inside longer names, at any depth', async () => {
    expect(oslo.length).toBe(34)
    for (const name of oslo) {
      const variants = [name, name.toUpperCase(), `original_${name}`, `${name}2`]
      const payload = Object.fromEntries(variants.map((variant) => [variant, 'hunter2']))
      const { payload: shown } = await jsonOf(message({ list: [[{ deep: payload }]], ...payload }))
      const hidden = Object.fromEntries(variants.map((variant) => [variant, '***']))
      expect(shown).toEqual({ list: [[{ deep: hidden }]], ...hidden })
    }
  })

  test('are hidden whatever they are', async () => {
    const payload = {
      token: { id: 'hunter2' },
      secrets: ['hunter2'],
      password: 5,
      privateKey: 'hunter2',
      'private-key': '',
    }
    expect((await jsonOf(message(payload))).payload).toEqual({
      token: '***',
      secrets: '***',
      password: '***',
      privateKey: '***',
      'private-key': '***',
    })
  })

  test('are hidden in headers', async () => {
    const names = [
      'Authorization',
      'Proxy-Authorization',
      'cookie',
      'Set-Cookie',
      'X-Auth-Token',
      'X-Api-Key',
      'apikey',
    ]
    const headers = { ...Object.fromEntries(names.map((name) => [name, 'hunter2'])), traceparent: '00-ab' }
    const { headers: shown } = await jsonOf(message({}, { headers }))
    expect(shown).toEqual({ ...Object.fromEntries(names.map((name) => [name, '***'])), traceparent: '00-ab' })
  })

  test('are hidden by names that the user adds', async () => {
    const payload = {
      iban: 'DE1',
      'client.iban': 'DE1',
      credit_card: '1',
      creditCard: '1',
      'a(b': '1',
      other: 'x',
    }
    expect((await jsonOf(message(payload), { mask: ['iban', 'credit_card', 'a(b'] })).payload).toEqual({
      iban: '***',
      'client.iban': '***',
      credit_card: '***',
      creditCard: '***',
      'a(b': '***',
      other: 'x',
    })
  })

  test.each([
    ['password=hunter2', 'password=***'],
    ['a password = "hun ter2" b', 'a password = *** b'],
    ["{'adminPass': 'hunter2', 'user': 'me'}", "{'adminPass': ***, 'user': 'me'}"],
    ['nova --os-password hunter2 list', 'nova --os-password *** list'],
    ['<adminPass>hunter2</adminPass>', '<adminPass>***</adminPass>'],
    ['Authorization: Bearer hunter2 x', 'Authorization: *** x'],
    ['GET /v3?token=hunter2&limit=5', 'GET /v3?token=***&limit=5'],
    ['amqp://nova:hunter2@host/vhost', 'amqp://nova:***@host/vhost'],
    ['{"password": "hunter2"}', '{"password":"***"}'],
    ['{"password": {"a": "hunter2"}', '{"password": ***'],
    ['[{"a": "{\\"token\\": \\"hunter2\\"}"}]', '[{"a":"{\\"token\\":\\"***\\"}"}]'],
    [String.raw`x \"password\": \"hunter2\"`, String.raw`x \"password\": ***`],
    ['the token of the bucket', 'the token of the bucket'],
    ['https://host:80/path', 'https://host:80/path'],
  ])('are hidden in text: %s', async (text, shown) => {
    expect((await jsonOf(message({ text }))).payload.text).toBe(shown)
  })

  test('in names of things there are none', async () => {
    const body = Buffer.from(
      '{"event_type":"token: created","publisher_id":"token-service:host1","payload":{}}',
    )
    expect(await jsonOf(message({}, { body }))).toMatchObject({
      event_type: 'token: created',
      publisher_id: 'token-service:host1',
    })
  })

  test('never show, however JSON is wrapped in JSON', async () => {
    let text = JSON.stringify({ password: 'hunter2' })
    for (let level = 0; level < 8; level++) {
      expect(await lineOf(message({ text }))).not.toContain('hunter2')
      text = JSON.stringify({ text })
    }
  })
})

describe('hostile input', () => {
  test('no character that a terminal acts on leaves, whichever field it is in', async () => {
    // Every code unit, in turns of 4,096: lone surrogates, controls, separators, directions, all of them.
    const unsafe =
      /[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\p{Cs}]/u
    for (let start = 0; start <= 0xffff; start += 4_096) {
      const text = String.fromCharCode(...Array.from({ length: 4_096 }, (_, index) => start + index))
      const envelope = {
        event_type: text,
        publisher_id: text,
        timestamp: text,
        payload: { [text]: text },
        [text]: text,
      }
      const one = {
        ...message({}, { body: Buffer.from(JSON.stringify(envelope)), key: text }),
        id: text,
      }
      for (const format of ['text', 'json'] as const) {
        const line = await lineOf(one, { format, colors: false })
        expect(unsafe.exec(line)).toBeNull()
        if (format === 'json')
          expect(JSON.parse(line)).toMatchObject({ event_type: text, key: text, extra: { [text]: text } })
      }
    }
  })

  test('an emoji stays one', async () => {
    expect(await lineOf(message({ duck: '🦆 👩‍👩‍👧 ‌ü' }))).toContain('{"duck":"🦆 👩‍👩‍👧 ‌ü"}')
  })

  test('keys like __proto__ are keys, and reach no prototype', async () => {
    const text =
      '{"event_type":"a","payload":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}},"__proto__":{"polluted":2}}'
    const line = await lineOf(raw(text), { format: 'json' })
    expect(line).toContain('"extra":{"__proto__":{"polluted":2}}')
    expect(line).toContain(
      '"payload":{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}',
    )
    expect({}).not.toHaveProperty('polluted')
  })

  test.each([5_000, 300_000])(
    '%d levels are shown, or cut, without a stack',
    { tags: ['slow'] },
    async (levels) => {
      const arrays = `${'['.repeat(levels)}${']'.repeat(levels)}`
      const objects = `${'{"a":'.repeat(levels)}{"password":"hunter2"}${'}'.repeat(levels)}`
      const siblings = `${'['.repeat(levels)}${',1]'.repeat(levels).slice(1)}`
      for (const payload of [arrays, objects, siblings]) {
        const line = await lineOf(raw(`{"event_type":"a","payload":${payload}}`), { format: 'json' })
        expect(line.includes('hunter2')).toBe(false)
        JSON.parse(line)
        expect(line.length).toBeLessThan(700_000)
        const shown = levels === 5_000 ? payload.replace('hunter2', '***') : '[truncated]'
        expect(line.includes(shown)).toBe(true)
      }
    },
  )

  test('50 MB are cut to a line that is still JSON, and says so', { tags: ['slow'] }, async () => {
    const rows = Array.from({ length: 1_250_000 }, (_, index) => `row number ${index}, somewhat longer`)
    const list = await lineOf(message({ rows, password: 'hunter2' }), { format: 'json' })
    expect(list.length).toBeLessThan(300_000)
    expect(JSON.parse(list).payload.rows.at(-1)).toBe('[truncated]')
    const object = await jsonOf(message(Object.fromEntries(rows.slice(0, 100_000).map((row) => [row, 1]))))
    expect(object.payload['[truncated]']).toBeGreaterThan(80_000)
    const text = await jsonOf(message({ text: 'x'.repeat(50_000_000) }))
    const texts = await lineOf(message(Array.from({ length: 10 }, () => 'x'.repeat(1_000_000))))
    expect(texts.length).toBeLessThan(300_000)
    expect(text.payload.text).toMatch(/^x+\[truncated: 49\d{6} characters\]$/)
  })

  test('texts that are made to be slow to search are not', { tags: ['slow'] }, async () => {
    const texts = ['token', '--token ', '<password', 'password=', '://', '-a', '{"password":', 'password"']
    const since = performance.now()
    for (const text of texts) await lineOf(message({ text: text.repeat(20_000) }))
    await lineOf(message({ text: `password${' '.repeat(200_000)}` }))
    await lineOf(message({ text: `password="${'\\'.repeat(200_000)}` }))
    // Linear, it takes some 50 ms; quadratic, minutes.
    expect(performance.now() - since).toBeLessThan(10_000)
  })
})
