import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { type Instant, later, toDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { Known } from '../rules/known.js'
import { isMachine } from '../rules/token.js'
import { openStore } from '../service/open-store.js'
import { describeClockDifference } from './clock-difference.js'
import type { CommandContext } from './context.js'
import { printable } from './printable.js'
import { readInstant } from './read-instant.js'

/** The options of `logout`. */
export interface LogoutOptions {
  session?: string
  at?: string
}

const TOKENS_ONLY = `This ends tokens, not Auth0 sessions: a browser that is still logged in at Auth0 gets new tokens
without a password, and without the login Action refresh tokens go on as well. End the user's
sessions in Auth0 too, or block the user there.
`

/** `logout`: ends the tokens that a user has. */
export async function logout(
  context: CommandContext,
  user: string,
  options: LogoutOptions,
): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const userId = readSubject(user)
  const sessionId =
    options.session === undefined ? null : assertId('the session id', options.session)
  const reportedAt = readInstant(options.at ?? 'now')

  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const before = await store.readKnown(userId, sessionId)
    const clockDifference = describeClockDifference(before.now, Date.now())
    const report = { userId, sessionId, at: reportedAt, type: 'operator_logout' }
    const at = await store.storeReported(report)
    if (at === null) {
      throw new LastLogoutError(
        'USAGE',
        `${options.at} is in the future (it is ${toDateTime(before.now)} by the clock of the database): give an instant that has passed`,
      )
    }
    context.print(clockDifference)
    context.print(describe({ userId, sessionId, at }, before, config.policy))
    if (before.user === null) {
      context.print(
        "No logout of this user was known before: is the id right? It is the token's sub.\n",
      )
    }
    context.print(TOKENS_ONLY)
  } finally {
    await close()
  }
}

interface StoredLogout {
  userId: string
  /** `null`: all sessions. */
  sessionId: string | null
  at: Instant
}

function describe(
  { userId, sessionId, at }: StoredLogout,
  { user, session }: Known,
  policy: Policy,
): string {
  const ofSession = sessionId !== null && policy === 'session'
  const allAt = policy === 'user' ? user?.at : user?.allSessionsAt
  const knownAt = (ofSession ? session?.at : allAt) ?? null
  const whose = ofSession ? ` in session ${printable(sessionId)}` : ''
  const since = toDateTime(later(at, knownAt))
  const known = knownAt !== null && knownAt > at ? ': a later logout was known already' : ''
  const more =
    sessionId === null || ofSession ? '' : ' POLICY is user: the logout of one session ends all.'
  return `Tokens of ${printable(userId)}${whose} are revoked whose login is not after ${since}${known}.${more}\n`
}

function readSubject(text: string): string {
  const userId = assertId('the user id', text)
  if (isMachine(userId)) {
    throw new LastLogoutError(
      'USAGE',
      'an application cannot log out, and its own tokens are never revoked: rotate its secret in Auth0, or delete its grant',
    )
  }
  // Auth0 has no other ones, and what a shell has cut at its pipe sign would be reported as done.
  if (userId.includes('|')) return userId
  throw new LastLogoutError(
    'USAGE',
    `there is no | in the user id ${printable(userId)}: quote it for the shell, which takes | for its own, as in: last-logout logout 'auth0|123'`,
  )
}

function assertId(what: string, text: string): string {
  const id = readId(text)
  if (id !== null) return id
  const message = `${what} must be a text of 1 to ${MAX_ID_LENGTH} characters`
  throw new LastLogoutError('USAGE', message)
}
