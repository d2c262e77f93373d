import load from '../../../packages/rabbit/test/harness.ts'
import { repeated } from '../repeats.ts'

export default repeated({
  name: 'rabbit-repeats',
  title: 'the conformance suite passes rabbit each time, whatever the seed, on a busy machine',
  rounds: 10,
  kills: 3,
  load,
})
