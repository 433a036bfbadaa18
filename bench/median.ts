/** Returns the median. If the number of values is even, returns the greater of the two values in the middle. */
export function median(values: number[]): number {
  return quantile(values, 0.5)
}

/** Returns the value below which this share of the values is. */
export function quantile(values: number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length * share)] ?? Number.NaN
}
