/**
 * Adds a claim to the claims of a token. The value is copied as JSON, because a token contains JSON.
 */
export function setCustomClaim(
  claims: Record<string, unknown>,
  name: string,
  value: unknown,
): void {
  const json = JSON.stringify(value)
  if (json === undefined) delete claims[name]
  else claims[name] = JSON.parse(json)
}
