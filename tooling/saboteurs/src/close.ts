import type { Saboteur } from './saboteur.ts'

export const CLOSE: readonly Saboteur[] = []
