import type { Saboteur } from './saboteur.ts'

export const RECOVER: readonly Saboteur[] = []
