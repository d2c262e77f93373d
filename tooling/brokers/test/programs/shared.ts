/** Asks for a broker of the run, says which, and ends. */
import { findOrStart } from '../../src/index.ts'

const { url, version } = await findOrStart('rabbit')
console.log(JSON.stringify({ url, version }))
process.exit()
