import type { Definition } from '../case.ts'

export const CONTENT: readonly Definition[] = []
