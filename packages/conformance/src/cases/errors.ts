import type { Definition } from '../case.ts'

export const ERRORS: readonly Definition[] = []
