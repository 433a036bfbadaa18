/**
 * The refill rate that Auth0 documents for each bucket size, in requests per minute:
 *
 * | plan | bucket size | requests per minute |
 * |---|---|---|
 * | Free | 2 | 120 |
 * | Essentials, Professional | 10 | 100 |
 * | Enterprise, production | 50 | 960 |
 * | Enterprise, other environments | 10 | 120 |
 *
 * The response headers state only the size. If Auth0 documents two rates for one size, the lower one counts.
 *
 * @see https://auth0.com/docs/troubleshoot/customer-support/operational-policies/rate-limit-policy
 */
const REFILL_PER_MINUTE = new Map([
  [2, 120],
  [10, 100],
  [50, 960],
])

/**
 * Returns the refill rate that Auth0 documents for this bucket size, in requests per minute; `null`: it documents none.
 */
export function documentedRefillPerMinute(size: number): number | null {
  return REFILL_PER_MINUTE.get(size) ?? null
}
