/** What child processes of the suite load in place of a harness: the same harness, with the same saboteur. */
import type { Harness, Load } from '@notify/conformance'
import { SABOTEURS } from './index.ts'
import { sabotaged } from './saboteur.ts'

export default async function load(): Promise<Harness> {
  const { searchParams } = new URL(import.meta.url)
  const saboteur = SABOTEURS.find(({ name }) => name === searchParams.get('saboteur'))
  if (saboteur === undefined) throw new Error(`no saboteur ${searchParams.get('saboteur')}`)
  const module = (await import(searchParams.get('harness') as string)) as { default: Load }
  return await sabotaged(module.default, saboteur)()
}
