import { MAX_TIMEOUT_MS, MODES, ON_ERROR, POLICIES } from '../rules/action-settings.js'
import { canBeSent } from '../rules/api-key.js'
import type { Policy } from '../rules/judge.js'
import { isNamespace, NAMESPACE_RULE } from '../rules/namespace.js'
import { type ClaimNames, claimNames, DEFAULT_NAMESPACE } from '../rules/token.js'
import { readUrl } from '../rules/url.js'

const DEFAULT_TIMEOUT_MS = 1_000

/** Settings of the Action, read from its secrets. */
export interface ActionSettings {
  /** The http or https URL of the service, which ends in a slash; `null`: the secret is missing or invalid. */
  url: string | null
  apiKey: string
  timeoutMs: number
  claims: ClaimNames
  /** `null`: the policy of the service. */
  policy: Policy | null
  mode: 'enforce' | 'observe'
  onError: 'allow' | 'deny'
}

/**
 * Reads the secrets, without the white space around them. If a secret is invalid, calls `warn` and uses the default,
 * except for the namespace, which clients of an earlier release share. Never throws.
 */
export function readSettings(
  secrets: Record<string, string | undefined>,
  warn: (message: string) => void,
): ActionSettings {
  // A line break at the end of a secret is a common mistake of copying.
  const read = (name: string) => (secrets[name] ?? '').trim()
  const choose = <T extends string>(name: string, choices: readonly [T, ...T[]]): T => {
    const value = read(name) || choices[0]
    const chosen = choices.find((choice) => choice === value)
    if (chosen === undefined) warn(`${name} must be ${choices.join(' or ')}`)
    return chosen ?? choices[0]
  }
  const url = readServiceUrl(read('LAST_LOGOUT_URL'))
  if (url === null) warn('LAST_LOGOUT_URL must be the URL of last-logout, with https://')
  const apiKey = read('LAST_LOGOUT_API_KEY')
  if (apiKey === '') warn('LAST_LOGOUT_API_KEY is missing')
  else if (!canBeSent(apiKey)) {
    warn(
      'LAST_LOGOUT_API_KEY contains a space, a line break or another character that is not printable ASCII: copy it again',
    )
  }
  const timeoutMs = Number(read('LAST_LOGOUT_TIMEOUT_MS') || DEFAULT_TIMEOUT_MS)
  const isTimeout = timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS
  if (!isTimeout) warn(`LAST_LOGOUT_TIMEOUT_MS must be from 1 to ${MAX_TIMEOUT_MS}`)
  const policy = choose('LAST_LOGOUT_POLICY', POLICIES)
  const namespace = read('LAST_LOGOUT_NAMESPACE') || DEFAULT_NAMESPACE
  if (!isNamespace(namespace)) warn(`LAST_LOGOUT_NAMESPACE ${NAMESPACE_RULE}`)
  return {
    url,
    apiKey,
    timeoutMs: isTimeout ? timeoutMs : DEFAULT_TIMEOUT_MS,
    claims: claimNames(namespace),
    policy: policy === 'service' ? null : policy,
    mode: choose('LAST_LOGOUT_MODE', MODES),
    onError: choose('LAST_LOGOUT_ON_ERROR', ON_ERROR),
  }
}

/** Returns a URL without credentials, query and fragment, so that a path can be appended. */
function readServiceUrl(text: string): string | null {
  const url = readUrl(text)
  if (url === null) return null
  const { protocol, host, pathname } = url
  if (protocol !== 'https:' && protocol !== 'http:') return null
  return `${protocol}//${host}${pathname.replace(/\/?$/, '/')}`
}
