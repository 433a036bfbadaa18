/**
 * Auth0's documented refill rates by bucket size:
 *
 * | plan | bucket size | requests per minute |
 * |---|---|---|
 * | Free | 2 | 120 |
 * | Essentials, Professional | 10 | 100 |
 * | Enterprise, production | 50 | 960 |
 * | Enterprise, other environments | 10 | 120 |
 *
 * The response headers contain only the size. If a size has two rates, the map contains the lower rate.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
const REFILL_PER_MINUTE = new Map([
  [2, 120],
  [10, 100],
  [50, 960],
])

/** Returns the documented refill rate of a bucket, in requests per minute; `null`: none is documented for this size. */
export function documentedRefillPerMinute(size: number): number | null {
  return REFILL_PER_MINUTE.get(size) ?? null
}
