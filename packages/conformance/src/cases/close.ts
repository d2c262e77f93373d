import type { Definition } from '../case.ts'

export const CLOSE: readonly Definition[] = []
