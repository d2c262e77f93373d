import type { Saboteur } from './saboteur.ts'

export const ERRORS: readonly Saboteur[] = []
