/** Returns the value that the given share of the values does not exceed. For p99, `share` is 0.99. */
export function quantile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN
}
