import type { Saboteur } from './saboteur.ts'

export const SETTLEMENT: readonly Saboteur[] = []
