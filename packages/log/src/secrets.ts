/**
 * Parts of names that give away a secret, in any case; `_` stands for `_`, `-`, `.`, a space or nothing. All
 * of oslo.utils' are here, which oslo.messaging's log driver masks, but for those that contain another one
 * (`auth_token`, `chappassword`). The last four are this package's: headers carry them.
 */
const NAMES = [
  'admin_pass',
  'password',
  'new_pass',
  'secret',
  'sys_pswd',
  'token',
  'configdrive',
  'encrypted_key',
  'private_key',
  'fernetkey',
  'sslkey',
  'passphrase',
  'cephclusterfsid',
  'octaviaheartbeatkey',
  'rabbitcookie',
  'cephmanilaclientkey',
  'pacemakerremoteauthkey',
  'designaterndckey',
  'cephadminkey',
  'heatauthencryptionkey',
  'cephclientkey',
  'keystonecredential',
  'barbicansimplecryptokek',
  'cephrgwkey',
  'swifthashsuffix',
  'migrationsshkey',
  'cephmdskey',
  'cephmonkey',
  'authorization',
  'cookie',
  'api_key',
  'passwd',
]

export const MASK = '***'

/** Names are few and come again and again; a payload that makes up new ones must not fill the memory. */
const REMEMBERED = 1_000

/** Tells secrets by their names, and hides them in text. */
export class Secrets {
  readonly #name: RegExp
  readonly #inText: readonly RegExp[]
  readonly #known = new Map<string, boolean>()

  constructor(more: readonly string[] = []) {
    const names = [...NAMES, ...more].map((name) =>
      name.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replaceAll('_', '[-_. ]?'),
    )
    const name = `(?:${names.join('|')})`
    this.#name = new RegExp(name, 'i')
    // Each repetition is bounded, or cannot be taken back: a hostile text costs no more than a long one.
    this.#inText = [
      // name=value, "name": "value", name: Bearer value
      new RegExp(
        `(${name}[\\w.-]{0,32}\\\\{0,4}["']?\\s{0,8}[:=]\\s{0,8})` +
          `(?:\\\\{0,4}"(?:[^"\\\\]|\\\\.)*"?|\\\\{0,4}'(?:[^'\\\\]|\\\\.)*'?|[{[][^]*` +
          `|(?:(?:basic|bearer|digest|negotiate)\\s{1,8})?[^\\s"'&,;)}\\]]+)`,
        'gi',
      ),
      // --name value
      new RegExp(`(--?[\\w-]{0,32}?${name}[\\w-]{0,32}\\s{1,8})[^\\s"']+`, 'gi'),
      // <name>value</name>
      new RegExp(`(<[\\w:.-]{0,32}?${name}[^<>]{0,256}>)[^<]+`, 'gi'),
      // scheme://user:password@host
      /(:\/\/[^\s/:@]{0,256}:)[^\s/@]+(?=@)/g,
    ]
  }

  /** Whether what has this name is to be hidden. */
  has(name: string): boolean {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const secret = this.#name.test(name)
    if (this.#known.size >= REMEMBERED) this.#known.clear()
    if (name.length <= 256) this.#known.set(name, secret)
    return secret
  }

  /** Whether a text speaks of something secret at all. */
  suspects(text: string): boolean {
    return text.includes('://') || this.#name.test(text)
  }

  /** The text with what looks like the value of a secret hidden. */
  hide(text: string): string {
    let hidden = text
    for (const pattern of this.#inText) hidden = hidden.replace(pattern, `$1${MASK}`)
    return hidden
  }
}
