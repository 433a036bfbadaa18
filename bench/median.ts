import { quantile } from './quantile.js'

/** Returns the median. If the number of values is even, returns the greater of the two values in the middle. */
export function median(values: number[]): number {
  return quantile(values, 0.5)
}
