import { DENIALS } from '../rules/action-settings.js'
import { DEFAULT_MAX_STALENESS_MS } from '../rules/freshness.js'
import { judge, type Outcome } from '../rules/judge.js'
import type { LastLogoutResponse } from '../rules/last-logout-response.js'
import { isInteractive } from '../rules/login.js'
import type { LoginSubject, PostLoginApi, PostLoginEvent } from './event.js'
import { readSubject } from './event.js'
import { LookupError, lookUp } from './lookup.js'
import { type ActionSettings, readSettings } from './settings.js'

/** Maximum length of a log line, in characters. Auth0 cuts longer lines. */
const MAX_LINE_LENGTH = 256

/**
 * The handler of Auth0's post-login trigger. Auth0 calls it at every login, every silent login and every exchange of a
 * refresh token. The handler adds claims to the tokens, and denies an exchange if the session was logged out. Never
 * throws.
 *
 * @see https://auth0.com/docs/customize/actions/reference/post-login
 */
export async function onExecutePostLogin(event: PostLoginEvent, api: PostLoginApi): Promise<void> {
  try {
    const settings = readSettings(event.secrets ?? {}, log)
    await run(event, api, settings).catch(() => {
      log('unexpected error: claims may be missing')
      if (!isInteractive(event.transaction?.protocol)) enforce(api, settings, 'unknown')
    })
  } catch {
    log('unexpected error: claims or a denial may be missing')
  }
}

/**
 * Handles the trigger. Sets the claims of the login before the lookup, so that a failed lookup does not prevent them.
 */
async function run(
  event: PostLoginEvent,
  api: PostLoginApi,
  settings: ActionSettings,
): Promise<void> {
  const { claims } = settings
  const subject = readSubject(event)
  setClaim(api, claims.authenticatedAt, toNumericDate(subject.login.loginAt))
  setClaim(api, claims.sessionId, subject.sessionId)
  const response = await lookUp(settings, subject).catch((error) => {
    log(`lookup failed: ${error instanceof LookupError ? error.message : error.name}`)
    return null
  })
  setClaim(api, claims.lastLogout, toNumericDate(response?.knownLogouts.user?.at ?? null))
  if (subject.login.interactive) return
  enforce(api, settings, response ? judgeExchange(settings, subject, response) : 'unknown')
}

/**
 * Sets a claim in both tokens, unless its value is `null`. Logs an error instead of throwing it, so that the
 * exchange is still judged.
 */
function setClaim(api: PostLoginApi, name: string, value: unknown): void {
  if (value === null) return
  for (const token of [api.accessToken, api.idToken]) {
    try {
      token.setCustomClaim(name, value)
    } catch {
      log(`claim ${name} not set`)
    }
  }
}

/**
 * Judges an exchange. If no known logout revokes the session, but the data is stale, the outcome is `unknown`. Logs why
 * an outcome is `unknown`: the exchange may be allowed, and then nothing else shows it.
 */
function judgeExchange(
  settings: ActionSettings,
  { userId, sessionId, login }: LoginSubject,
  { knownLogouts, freshness }: LastLogoutResponse,
): Outcome {
  const token = { subject: userId, sessionId, loginAt: login.loginAt }
  const policy = settings.policy ?? freshness.policy
  const { revoked, reason } = judge(token, knownLogouts, { policy })
  if (reason === 'login_unknown') {
    log('revocation status unknown: the event contains no time of the login that can be read')
    return 'unknown'
  }
  if (revoked) return 'revoked'
  if (freshness.lagMs <= DEFAULT_MAX_STALENESS_MS) return 'accepted'
  log('revocation status unknown: the data of the service is stale')
  return 'unknown'
}

/** Denies the exchange if the outcome and the settings require it. Logs an error instead of throwing it. */
function enforce(api: PostLoginApi, { mode, onError }: ActionSettings, outcome: Outcome): void {
  const isDenied = outcome === 'revoked' || (outcome === 'unknown' && onError === 'deny')
  if (!isDenied) return
  const reason = outcome === 'revoked' ? DENIALS.revoked : DENIALS.unknown
  try {
    if (mode === 'observe') log(`observed, not denied: ${reason}`)
    else api.access.deny(reason)
  } catch {
    log(`not denied, because denying failed: ${reason}`)
  }
}

function toNumericDate(at: number | null): number | null {
  return at === null ? null : at / 1000
}

function log(message: string): void {
  // Auth0 shows the output in the logs of the tenant's Actions.
  // biome-ignore lint/suspicious/noConsole: an Action has no other log
  console.log(`last_logout: ${message}`.slice(0, MAX_LINE_LENGTH))
}
