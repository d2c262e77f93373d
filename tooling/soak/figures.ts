/** The sum of one figure over all rounds. */
export function sum<Round>(rounds: readonly Round[], figure: (round: Round) => number): number {
  return rounds.reduce((total, round) => total + figure(round), 0)
}

/** `{ recoveryMsP50, recoveryMsP99, recoveryMsMax }`: the nearest rank that is not below the share. */
export function spread<Name extends string>(
  name: Name,
  values: readonly number[],
): Record<`${Name}P50` | `${Name}P99` | `${Name}Max`, number> {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN
  return { [`${name}P50`]: at(0.5), [`${name}P99`]: at(0.99), [`${name}Max`]: at(1) } as Record<
    `${Name}P50` | `${Name}P99` | `${Name}Max`,
    number
  >
}
