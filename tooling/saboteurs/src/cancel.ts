import type { Saboteur } from './saboteur.ts'

export const CANCEL: readonly Saboteur[] = []
