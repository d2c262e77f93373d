import type { Definition } from '../case.ts'

export const DELIVERY: readonly Definition[] = []
