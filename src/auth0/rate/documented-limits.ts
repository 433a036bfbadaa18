/**
 * Requests a minute by which a bucket of this size is refilled, as documented:
 *
 * | plan | size | a minute |
 * |---|---|---|
 * | Free | 2 | 120 |
 * | Essentials, Professional | 10 | 100 |
 * | Enterprise, production | 50 | 960 |
 * | Enterprise, other environments | 10 | 120 |
 *
 * The headers state the size alone. Where one size has two refills, the lower one counts.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
const PER_MINUTE = new Map([
  [2, 120],
  [10, 100],
  [50, 960],
])

/** The documented refill of a bucket of this size, in requests a minute; `null`: none is documented. */
export function documentedPerMinute(size: number): number | null {
  return PER_MINUTE.get(size) ?? null
}
