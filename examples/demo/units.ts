/** Numbers as humans read them. */

export function number(value: number): string {
  return value.toLocaleString('en', { maximumFractionDigits: 1 })
}

export function count(value: number, noun: string): string {
  return `${number(value)} ${noun}${value === 1 ? '' : 's'}`
}

export function bytes(value: number): string {
  return value < 2 ** 30 ? `${(value / 2 ** 20).toFixed(0)} MiB` : `${(value / 2 ** 30).toFixed(1)} GiB`
}

export function duration(ms: number): string {
  if (ms < 100) return `${ms.toFixed(1)} ms`
  if (ms < 1_000) return `${ms.toFixed(0)} ms`
  if (ms < 100_000) return `${(ms / 1_000).toFixed(1)} s`
  return ms < 360_000_000 ? `${(ms / 3_600_000).toFixed(1)} h` : `${(ms / 86_400_000).toFixed(0)} days`
}

/** Ten places for a hundred per cent, and the figure beside it. */
export function bar(percent: number): string {
  const full = Math.min(10, Math.round(percent / 10))
  return `${'█'.repeat(full)}${'░'.repeat(10 - full)} ${percent.toFixed(0).padStart(3)} %`
}
