import { describe, expect, test } from 'vitest'
import { compileGlobs } from '../src/glob.ts'

const longName = 'a'.repeat(255)

describe('globs mean what they mean in Python', () => {
  // Each row was checked against fnmatch.fnmatchcase.
  test.each<[glob: string, matching: string[], others: string[]]>([
    [
      'compute.create',
      ['compute.create'],
      ['Compute.create', 'compute_create', 'compute.create.x', 'xcompute.create', ''],
    ],
    ['*', ['', 'a', 'a.b\nc'], []],
    ['compute.*', ['compute.', 'compute.a', 'compute.a.b', 'compute.\n'], ['compute', 'xcompute.a']],
    ['*.error', ['.error', 'a.b.error'], ['error', 'a.error\n']],
    ['a**b', ['ab', 'axxb'], ['a']],
    ['a?c', ['abc', 'a.c', 'a\nc', 'a🎉c'], ['ac', 'abbc']],
    ['[abc]x', ['ax', 'cx'], ['dx', 'x', '[abc]x']],
    ['[!abc]x', ['dx', '!x', '\nx'], ['ax', 'x']],
    ['[a-c]', ['a', 'b', 'c'], ['d', '-']],
    ['[ac-]', ['a', 'c', '-'], ['b']],
    ['[]]', [']'], ['[', '[]]']],
    ['[]a]', [']', 'a'], ['b']],
    ['[!]a]', ['b'], [']', 'a']],
    ['[]', ['[]'], ['', 'a', '[']],
    ['[!]', ['[!]'], ['a', '!']],
    ['[', ['['], ['a']],
    ['[a', ['[a'], ['a']],
    ['a]', ['a]'], ['a']],
    ['[[]', ['['], ['[[]']],
    ['[^a]', ['^', 'a'], ['b']],
    ['[\\d]', ['\\', 'd'], ['7']],
    ['[z-a]', [], ['z', 'a', '-']],
    ['[a&&b]', ['a', '&', 'b'], ['c']],
    ['[a--b]', [], ['c']],
    ['(a|b)+$.^{1}', ['(a|b)+$.^{1}'], ['a', 'b']],
    ['\\*', ['\\', '\\abc'], ['*']],
    ['nova-*/[a]', ['nova-x/a', 'nova-/a'], ['nova/a']],
    ['[*?]', ['*', '?'], ['a']],
    ['*12*3', ['123', 'a12b3'], ['13']],
    ['é*', ['é', 'éa'], ['e']],
    ['*a*b*', ['ab', 'xaxbx', 'aab'], ['ba', 'a']],
    ['a*a', ['aa', 'aba'], ['a']],
    ['*ab', ['ab', 'aab', 'abab'], ['aba']],
    ['a*b*c', ['abc', 'aXbXbXc', 'abbcc'], ['ac', 'acb']],
    ['*?a', ['ba', 'bba'], ['a']],
  ])('%s', (glob, matching, others) => {
    const matches = compileGlobs(glob)
    expect(matching.filter((text) => !matches(text))).toEqual([])
    expect(others.filter((text) => matches(text))).toEqual([])
  })
})

test('of several globs one must match, and without any everything does', () => {
  const matches = compileGlobs(['a.*', 'b'])
  expect(['a.x', 'b', 'c', 'a'].map(matches)).toEqual([true, true, false, false])
  expect(compileGlobs(undefined)('anything')).toBe(true)
  expect(compileGlobs([])('anything')).toBe(false)
})

test('no glob and no name together keep the program busy', () => {
  const started = performance.now()
  expect(compileGlobs('*a*a*a*a*a*a*a*a*b')(longName)).toBe(false)
  expect(compileGlobs(['*?a?*?a?*?a?*?a?*c'])(longName)).toBe(false)
  expect(performance.now() - started).toBeLessThan(1_000)
})
