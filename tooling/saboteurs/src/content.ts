import type { Saboteur } from './saboteur.ts'

export const CONTENT: readonly Saboteur[] = []
