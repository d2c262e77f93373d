import type { Definition } from '../case.ts'

export const CANCEL: readonly Definition[] = []
