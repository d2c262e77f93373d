/** Matches a whole string, case-sensitive: `*` any run (dots too), `?` one character, `[seq]`, `[!seq]`. */
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
  const pattern = glob.replace(/\*+|\?|\[(!?)(\]?[^\]]*)\]|[\\^$.|+()[\]{}/-]/g, (found, not: string, sequence: string) => {
    if (found[0] === '*') return '[^]*'
    if (found === '?') return '[^]'
    if (sequence === undefined) return `\\${found}`
    return `[${not === '!' ? '^' : ''}${sequence.replace(/[\\^\][&~|]/g, '\\$&')}]`
  })
  try {
    const expression = new RegExp(`^(?:${pattern})$`, 'u')
    return (text) => expression.test(text)
  } catch {
    // A range that is none, such as [z-a], matches nothing, as in fnmatch.
    return () => false
  }
}
