import { until } from '../src/wait.ts'

/** Waits until it is so, and fails where that takes too long. */
export async function eventually(
  condition: () => boolean,
  { withinMs = 5_000, what = 'It' }: { readonly withinMs?: number; readonly what?: string } = {},
): Promise<void> {
  if (!(await until(condition, withinMs))) throw new Error(`${what}: not within ${withinMs} ms`)
}
