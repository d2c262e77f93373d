import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { conformance } from '../src/index.ts'

const cases = conformance(() => Promise.reject(new Error('nothing is run')))

test('what a case promises and needs changes with its id alone', async () => {
  const known = cases.map(({ id, title, needs }) => `${id} ${title} [${needs.join(' ')}]`)
  await expect(`${known.join('\n')}\n`).toMatchFileSnapshot('cases.txt')
})

test('each case has an id of its own, a level and a time', () => {
  const ids = cases.map(({ id }) => id)
  expect(ids).toEqual([...new Set(ids)])
  for (const { title, budgetMs } of cases) {
    expect(title).toMatch(/^(MUST|SHOULD) /)
    expect(budgetMs).toBeGreaterThan(0)
  }
})

test('nothing of core but types is imported, nothing that is to be installed, and no test runner', () => {
  const source = new URL('../src/', import.meta.url)
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.ts'),
  )
  const imports = files.flatMap((file) =>
    [
      ...readFileSync(new URL(file, source), 'utf8').matchAll(
        /^(?:import|export) (type )?[^;]*? from '([^'.][^']*)'/gm,
      ),
    ]
      .filter(([, type, from]) => from === 'node:test' || (type === undefined && !from?.startsWith('node:')))
      .map(([, , from]) => `${file}: ${from}`),
  )
  expect(imports).toEqual([])
  expect(files.length).toBeGreaterThan(10)
})
