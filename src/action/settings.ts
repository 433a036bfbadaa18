import { MAX_TIMEOUT_MS, MODES, ON_ERROR, POLICIES } from '../rules/action-settings.js'
import type { Policy } from '../rules/judge.js'

const NAMESPACE = 'https://last-logout/'
const TIMEOUT_MS = 1_000

/** How the Action is run: its secrets. */
export interface Settings {
  /** Ends in a slash; `null`: it is missing or no URL. */
  url: string | null
  apiKey: string
  timeoutMs: number
  namespace: string
  /** `null`: the service's. */
  policy: Policy | null
  mode: 'enforce' | 'observe'
  onError: 'allow' | 'deny'
}

/** Reads the secrets. What cannot be meant is as if it were left out, and told to `warn`. */
export function readSettings(
  secrets: Record<string, string | undefined>,
  warn: (message: string) => void,
): Settings {
  const choose = <T extends string>(name: string, choices: readonly [T, ...T[]]): T => {
    const value = secrets[name] || choices[0]
    const found = choices.find((choice) => choice === value)
    if (found === undefined) warn(`${name} must be ${choices.join(' or ')}`)
    return found ?? choices[0]
  }
  const url = secrets.LAST_LOGOUT_URL ?? ''
  if (!URL.canParse(url)) warn('LAST_LOGOUT_URL must be the URL of last-logout')
  if (!secrets.LAST_LOGOUT_API_KEY) warn('LAST_LOGOUT_API_KEY is missing')
  const timeoutMs = Number(secrets.LAST_LOGOUT_TIMEOUT_MS || TIMEOUT_MS)
  const isTimeout = timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS
  if (!isTimeout) warn(`LAST_LOGOUT_TIMEOUT_MS must be from 1 to ${MAX_TIMEOUT_MS}`)
  const policy = choose('LAST_LOGOUT_POLICY', POLICIES)
  return {
    url: URL.canParse(url) ? url.replace(/\/?$/, '/') : null,
    apiKey: secrets.LAST_LOGOUT_API_KEY ?? '',
    timeoutMs: isTimeout ? timeoutMs : TIMEOUT_MS,
    namespace: secrets.LAST_LOGOUT_NAMESPACE || NAMESPACE,
    policy: policy === 'service' ? null : policy,
    mode: choose('LAST_LOGOUT_MODE', MODES),
    onError: choose('LAST_LOGOUT_ON_ERROR', ON_ERROR),
  }
}
