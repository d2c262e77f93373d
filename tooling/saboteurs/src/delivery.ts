import type { Saboteur } from './saboteur.ts'

export const DELIVERY: readonly Saboteur[] = []
