/**
 * Names of claims that Auth0 does not add to a token for an Action.
 *
 * @see https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims
 */
const RESTRICTED_NAMES = new Set(
  `acr act active amr at_hash ath attest aud auth_time authorization_details azp c_hash client_id cnf cty dest
  entitlements events exp groups gty htm htu iat internalService iss jcard jku jti jwe jwk kid may_act mky nbf nonce
  object_id org_id org_name orig origid permissions roles rph s_hash sid sip_callid sip_cseq_num sip_date sip_from_tag
  sip_via_branch sub sub_jwk toe txn typ uuid vot vtm x5t#S256`.split(/\s+/),
)

/** Namespaces that belong to Auth0: `urn:auth0`, and URLs on these domains. */
const RESTRICTED_NAMESPACE =
  /^(urn:auth0(:|$)|https?:\/\/([^/?#]*\.)?(auth0\.com|webtask\.io|webtask\.run)([:/?#]|$))/i

/**
 * Adds a claim to the claims of a token. As in Auth0, a claim with a restricted name is silently missing. The value is
 * copied as JSON, because a token contains JSON.
 */
export function setCustomClaim(
  claims: Record<string, unknown>,
  name: string,
  value: unknown,
): void {
  if (RESTRICTED_NAMES.has(name) || RESTRICTED_NAMESPACE.test(name)) return
  const json = JSON.stringify(value)
  if (json === undefined) delete claims[name]
  else claims[name] = JSON.parse(json)
}
