import { DEFAULT_MAX_STALENESS_MS } from '../rules/freshness.js'
import { judge } from '../rules/judge.js'
import { isInteractive } from '../rules/login.js'
import type { PostLoginApi, PostLoginEvent, Subject } from './event.js'
import { readSubject } from './event.js'
import { type Answer, LookUpError, lookUp } from './look-up.js'
import { readSettings, type Settings } from './settings.js'

/** What the application is told; it has to log its user in anew, with `prompt=login`. */
const LOGGED_OUT = 'last_logout: the session was logged out'
const UNKNOWN = 'last_logout: it cannot be said now whether the session was logged out'

/** Auth0 keeps so many characters of a line. */
const LONGEST_LINE = 256

type Judgement = 'accepted' | 'revoked' | 'unknown'

/**
 * Auth0's post-login trigger, which runs at every login, silent login and exchange of a refresh token.
 * Adds the claims to the tokens; refuses the exchange for a session that was logged out. Never throws.
 */
export async function onExecutePostLogin(event: PostLoginEvent, api: PostLoginApi): Promise<void> {
  try {
    const settings = readSettings(event.secrets ?? {}, say)
    await run(event, api, settings).catch(() => {
      say('the Action failed: its claims are not certain')
      if (!isInteractive(event.transaction?.protocol)) conclude(api, settings, 'unknown')
    })
  } catch {
    say('the Action failed: neither claims nor a denial are certain')
  }
}

async function run(event: PostLoginEvent, api: PostLoginApi, settings: Settings): Promise<void> {
  const subject = readSubject(event)
  addClaims(api, settings, {
    authenticated_at: toNumericDate(subject.login.loginAt),
    session_id: subject.sessionId,
  })
  const answer = await lookUp(settings, subject).catch((error) => {
    say(`could not be asked: ${error instanceof LookUpError ? error.message : error.name}`)
    return null
  })
  addClaims(api, settings, { last_logout: toNumericDate(answer?.known.user?.at ?? null) })
  if (subject.login.interactive) return
  conclude(api, settings, answer ? judgeExchange(settings, subject, answer) : 'unknown')
}

function addClaims(api: PostLoginApi, { namespace }: Settings, claims: Record<string, unknown>) {
  for (const [name, value] of Object.entries(claims)) {
    if (value === null) continue
    for (const token of [api.accessToken, api.idToken]) setClaim(token, namespace + name, value)
  }
}

/** A claim that cannot be set keeps nothing from being judged. */
function setClaim(token: PostLoginApi['idToken'], name: string, value: unknown): void {
  try {
    token.setCustomClaim(name, value)
  } catch {
    say(`the claim ${name} could not be set`)
  }
}

/** What revokes a token is believed however old it is; that nothing does, only while it is fresh. */
function judgeExchange(settings: Settings, subject: Subject, answer: Answer): Judgement {
  const { userId, sessionId, login } = subject
  const token = { subject: userId, sessionId, loginAt: login.loginAt }
  const { revoked, reason } = judge(token, answer.known, {
    policy: settings.policy ?? answer.policy,
  })
  if (reason === 'login_unknown') return 'unknown'
  if (revoked) return 'revoked'
  return answer.lagMs === null || answer.lagMs > DEFAULT_MAX_STALENESS_MS ? 'unknown' : 'accepted'
}

function conclude(api: PostLoginApi, { mode, onError }: Settings, judgement: Judgement): void {
  const isDenied = judgement === 'revoked' || (judgement === 'unknown' && onError === 'deny')
  if (!isDenied) return
  const reason = judgement === 'revoked' ? LOGGED_OUT : UNKNOWN
  if (mode === 'observe') say(`observed, not denied: ${reason}`)
  else api.access.deny(reason)
}

function toNumericDate(at: number | null): number | null {
  return at === null ? null : at / 1000
}

function say(message: string): void {
  // Auth0 shows it in the tenant's Action logs.
  // biome-ignore lint/suspicious/noConsole: an Action has nothing else to say it with
  console.log(`last_logout: ${message}`.slice(0, LONGEST_LINE))
}
