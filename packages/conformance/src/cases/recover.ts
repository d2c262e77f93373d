import type { Definition } from '../case.ts'

export const RECOVER: readonly Definition[] = []
