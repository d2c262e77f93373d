import load from '../../../packages/memory/test/harness.ts'
import { repeated } from '../repeats.ts'

export default repeated({
  name: 'memory-repeats',
  title: 'the conformance suite passes memory each time, whatever the seed, on a busy machine',
  rounds: 50,
  load,
})
