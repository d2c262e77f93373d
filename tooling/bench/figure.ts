import type { Ratio } from './turns.ts'

/** One line of the report. */
export interface Figure {
  readonly what: string
  readonly ratio: Ratio
  readonly unit: string
  /** What it may be at most, or has to be at least. */
  readonly ceiling?: number
  readonly floor?: number
  /** Under which name the README has it, and as which sentence. */
  readonly id?: string
  readonly sentence?: string
}
