import { readUrl } from './url.js'

/** What a namespace of claims must be. Completes "namespace …". */
export const NAMESPACE_RULE =
  'must be a URL or URN that ends in / or :, outside the namespaces that Auth0 reserves'

/**
 * Whether the login Action can add claims in this namespace. Auth0 silently drops claims in other namespaces. In a
 * namespace without a final separator, the names of the claims differ from those of the Action.
 *
 * @see https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims
 */
export function isNamespace(text: string): boolean {
  const url = readUrl(text)
  if (url === null || !/^\S+[/:]$/.test(text)) return false
  const { protocol, hostname, pathname } = url
  if (protocol === 'urn:') return !/^auth0\b/i.test(pathname)
  const isWeb = protocol === 'https:' || protocol === 'http:'
  return isWeb && !/(^|\.)(auth0\.com|webtask\.io|webtask\.run)\.?$/.test(hostname)
}
