/** Fits a string from end to end, in its case: `*` is any run, also of dots, `?` one character, `[seq]` one of these, `[!seq]` none of them. */
export type Glob = string

/** One glob or several, of which one must match. */
export type GlobMatch = (text: string) => boolean

const EVERYTHING: GlobMatch = () => true

/** Compiles globs once, at configuration time. The meaning is that of Python's `fnmatch`, as in oslo. */
export function compileGlobs(globs: Glob | readonly Glob[] | undefined): GlobMatch {
  if (globs === undefined || globs === '*') return EVERYTHING
  if (typeof globs === 'string') return compileGlob(globs)
  const matches = globs.map(compileGlob)
  return (text) => matches.some((match) => match(text))
}

function compileGlob(glob: Glob): GlobMatch {
  if (!/[*?[]/.test(glob)) return (text) => text === glob
  /** What stands between the stars. */
  const parts = ['']
  for (const [found, not, sequence] of glob.matchAll(/\*+|\[(!|(?!!))(.[^\]]*)\]|./gsu)) {
    if (found[0] === '*') parts.push('')
    else if (sequence !== undefined)
      parts.push(`${parts.pop()}[${not === '!' ? '^' : ''}${sequence.replace(/[\\^[\]]/g, '\\$&')}]`)
    else parts.push(`${parts.pop()}${found === '?' ? '.' : found.replace(/[\\^$.|+()[\]{}/]/, '\\$&')}`)
  }
  const last = parts.length > 1 ? `.*${parts.pop()}` : ''
  // A star that has found the next part is not asked again, as in fnmatch: no name can keep it busy.
  const pattern = parts.map((part, index) => (index === 0 ? part : `(?=(.*?${part}))\\${index}`)).join('')
  try {
    const expression = new RegExp(`^${pattern}${last}$`, 'su')
    return (text) => expression.test(text)
  } catch {
    // A range that is none, such as [z-a], matches nothing, as in fnmatch.
    return () => false
  }
}
