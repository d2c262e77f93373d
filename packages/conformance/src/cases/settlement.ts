import type { Definition } from '../case.ts'

export const SETTLEMENT: readonly Definition[] = []
