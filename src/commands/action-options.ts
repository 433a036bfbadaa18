import type { ApiKey } from '../config/api-keys.js'
import { isSecureUrl } from '../config/values.js'
import { LastLogoutError } from '../errors.js'
import { LONGEST_TIMEOUT_MS, MODES, ON_ERROR, POLICIES } from '../rules/action-settings.js'

/** The caller of the API whose key the Action is given. */
const CALLER = 'action'

/** What `action deploy` is told. */
export interface DeployFlags {
  url: string
  name: string
  mode?: string
  onError?: string
  timeoutMs?: string
  namespace?: string
  policy?: string
  dryRun?: true
}

/** Whether a value is one that the Action takes, and what to say when it is not. */
type Rule = readonly [isValid: (value: string) => boolean, problem: string]

const RULES = {
  url: [isServiceUrl, 'must be an https URL without a query; http only for the loopback'],
  mode: oneOf(MODES),
  onError: oneOf(ON_ERROR),
  timeoutMs: [isTimeout, `must be a whole number from 1 to ${LONGEST_TIMEOUT_MS}`],
  namespace: [
    isNamespace,
    'must be a URL or URN that ends in / or : and that Auth0 does not keep for itself',
  ],
  policy: oneOf(POLICIES),
} satisfies Partial<Record<keyof DeployFlags, Rule>>

/** The Action's secrets, as src/action/settings.ts reads them; what is not told is left to it. */
const SECRETS = {
  url: 'LAST_LOGOUT_URL',
  mode: 'LAST_LOGOUT_MODE',
  onError: 'LAST_LOGOUT_ON_ERROR',
  timeoutMs: 'LAST_LOGOUT_TIMEOUT_MS',
  namespace: 'LAST_LOGOUT_NAMESPACE',
  policy: 'LAST_LOGOUT_POLICY',
} satisfies Record<keyof typeof RULES, string>

/** Reads the Action's secrets. Throws `CONFIGURATION` with every problem in one message. */
export function readSecrets(flags: DeployFlags, apiKeys: ApiKey[]): Record<string, string> {
  const names = (Object.keys(RULES) as (keyof typeof RULES)[]).filter(
    (name) => flags[name] !== undefined,
  )
  // While it is replaced, a caller has two keys: the new one is added after the old one.
  const caller = apiKeys.findLast(({ name }) => name === CALLER)
  const problems = names.flatMap((name) => {
    const [isValid, problem]: Rule = RULES[name]
    return isValid(flags[name] ?? '') ? [] : [`${toFlag(name)} ${problem}`]
  })
  if (caller === undefined) {
    problems.push(
      'API_KEYS has no key for the Action: add one named action, as in ' +
        'API_KEYS=…,action:KEY:read with a KEY from `openssl rand -hex 24`',
    )
  } else if (!caller.roles.includes('read')) {
    problems.push('API_KEYS gives the key named action no role read, which the Action needs')
  }
  if (problems.length > 0 || caller === undefined) throw wrong(problems)
  const told = names.map((name) => [SECRETS[name], flags[name] ?? ''])
  return { ...Object.fromEntries(told), LAST_LOGOUT_API_KEY: caller.key }
}

function wrong(problems: string[]): LastLogoutError {
  const lines = problems.map((problem) => `  - ${problem}`).join('\n')
  return new LastLogoutError('CONFIGURATION', `the Action cannot be deployed so:\n${lines}`)
}

function toFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function oneOf(choices: readonly string[]): Rule {
  return [(value) => choices.includes(value), `must be ${choices.join(' or ')}`]
}

function isServiceUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  // Paths are added to it; and credentials would be printed.
  return isSecureUrl(url) && url.href === `${url.origin}${url.pathname}`
}

function isTimeout(text: string): boolean {
  return /^[1-9]\d*$/.test(text) && Number(text) <= LONGEST_TIMEOUT_MS
}

/**
 * Claims under any other are dropped silently.
 *
 * @see https://auth0.com/docs/secure/tokens/json-web-tokens/create-custom-claims
 */
function isNamespace(text: string): boolean {
  if (!URL.canParse(text) || !/[/:]$/.test(text)) return false
  const { protocol, hostname, pathname } = new URL(text)
  if (protocol === 'urn:') return !/^auth0\b/i.test(pathname)
  const isWeb = protocol === 'https:' || protocol === 'http:'
  return isWeb && !/(^|\.)(auth0\.com|webtask\.io|webtask\.run)\.?$/.test(hostname)
}
