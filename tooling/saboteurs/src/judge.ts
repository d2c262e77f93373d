/** `node judge.ts <saboteur>`: prints which cases catch it, as JSON. A process of its own, since some leave traces. */
import { Bases } from './bases.ts'
import { SABOTEURS } from './index.ts'
import { catchers } from './matrix.ts'

// What a saboteur leaves unhandled is its own, and not what is asked.
process.on('unhandledRejection', () => {})
process.on('uncaughtException', () => {})

const saboteur = SABOTEURS.find(({ name }) => name === process.argv[2])
if (saboteur === undefined) throw new Error(`no saboteur ${process.argv[2]}`)
const bases = new Bases()
const caught = await catchers(bases, saboteur)
await bases.dispose()
// It may hold on to anything.
process.stdout.write(JSON.stringify(caught), () => process.exit())
