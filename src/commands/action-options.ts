import type { Config } from '../config/config.js'
import { isSecureUrl } from '../config/values.js'
import { LastLogoutError } from '../errors.js'
import { MAX_TIMEOUT_MS, MODES, ON_ERROR, POLICIES } from '../rules/action-settings.js'
import { isNamespace, NAMESPACE_RULE } from '../rules/namespace.js'
import { readUrl } from '../rules/url.js'

/** The name of the API key that the Action uses. */
const KEY_NAME = 'action'

/** The options of `action deploy`. */
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

/** A check of the value of an option. `problem` is the message for an invalid value. */
type Rule = readonly [isValid: (value: string) => boolean, problem: string]

const RULES = {
  url: [
    isServiceUrl,
    'must be an https URL without a query, such as https://last-logout.example.com; http is allowed for the loopback interface only',
  ],
  mode: oneOf(MODES),
  onError: oneOf(ON_ERROR),
  timeoutMs: [isTimeout, `must be a whole number from 1 to ${MAX_TIMEOUT_MS}`],
  namespace: [isNamespace, NAMESPACE_RULE],
  policy: oneOf(POLICIES),
} satisfies Partial<Record<keyof DeployFlags, Rule>>

/** The secret of the Action that holds each option. The Action reads these secrets in `src/action/settings.ts`. */
const SECRETS = {
  url: 'LAST_LOGOUT_URL',
  mode: 'LAST_LOGOUT_MODE',
  onError: 'LAST_LOGOUT_ON_ERROR',
  timeoutMs: 'LAST_LOGOUT_TIMEOUT_MS',
  namespace: 'LAST_LOGOUT_NAMESPACE',
  policy: 'LAST_LOGOUT_POLICY',
} satisfies Record<keyof typeof RULES, string>

/**
 * Returns the secrets of the Action: an API key, and the options that have a value, without the white space around it.
 *
 * @throws `CONFIGURATION` with every problem in one message.
 */
export function readSecrets(
  flags: DeployFlags,
  { auth0, http }: Pick<Config, 'auth0' | 'http'>,
): Record<string, string> {
  const options = (Object.keys(RULES) as (keyof typeof RULES)[]).flatMap((name) => {
    const value = flags[name]?.trim()
    return value === undefined ? [] : [{ name, value }]
  })
  // While a key is rotated, API_KEYS contains two keys of this name. The last one is the new key.
  const apiKey = http.apiKeys.findLast(({ name }) => name === KEY_NAME)
  const problems = options.flatMap(({ name, value }) => {
    const [isValid, problem]: Rule = RULES[name]
    return isValid(value) ? [] : [`${toFlag(name)} ${problem}`]
  })
  if (isLoopback(flags.url) && !isLoopback(auth0.baseUrl)) {
    problems.push(
      `--url ${flags.url} is an address of this machine, which Auth0 cannot reach: the Action runs at Auth0. Use a URL of the API that is reachable from the internet`,
    )
  }
  if (apiKey === undefined) {
    problems.push(
      'API_KEYS has no key named action, which the Action needs: add one, as in ' +
        'API_KEYS=…,action:KEY:read, with a KEY from `openssl rand -hex 24`',
    )
  } else if (!apiKey.roles.includes('read')) {
    problems.push(
      'API_KEYS has a key named action without the role read, which the Action needs: add it',
    )
  }
  if (problems.length > 0 || apiKey === undefined) throw configurationError(problems)
  const secrets = options.map(({ name, value }) => [SECRETS[name], value])
  return { ...Object.fromEntries(secrets), LAST_LOGOUT_API_KEY: apiKey.key }
}

function configurationError(problems: string[]): LastLogoutError {
  const lines = problems.map((problem) => `  - ${problem}`).join('\n')
  return new LastLogoutError(
    'CONFIGURATION',
    `The Action cannot be deployed with this configuration:\n${lines}`,
  )
}

function toFlag(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function oneOf(choices: readonly string[]): Rule {
  return [(value) => choices.includes(value), `must be ${choices.join(' or ')}`]
}

function isServiceUrl(text: string): boolean {
  const url = readUrl(text)
  if (url === null) return false
  // The Action appends paths to the URL, so it must not have a query. Credentials in the URL would be printed.
  return isSecureUrl(url) && url.href === `${url.origin}${url.pathname}`
}

/** Whether the host of a URL is this machine. A simulated tenant can reach such a URL, but Auth0 cannot. */
function isLoopback(text: string): boolean {
  const { hostname = '' } = readUrl(text) ?? {}
  return /^(localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|\[::1?\])$/.test(hostname)
}

function isTimeout(text: string): boolean {
  return /^[1-9]\d*$/.test(text) && Number(text) <= MAX_TIMEOUT_MS
}
