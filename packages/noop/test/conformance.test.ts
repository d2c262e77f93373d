import { register } from '@notify/conformance'
import { afterAll, describe, test } from 'vitest'
import { committed } from '../../../tooling/vitest/committed.ts'
import load from './harness.ts'

register({ describe, test, afterAll })(load, committed('noop'))
