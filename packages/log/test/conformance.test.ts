import { register } from '@notify/conformance'
import { afterAll, describe, test } from 'vitest'
import load from './harness.ts'

register({ describe, test, afterAll })(load)
