import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { type Instant, later, toDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'
import type { LogoutSnapshot } from '../rules/logout-snapshot.js'
import { isMachine } from '../rules/token.js'
import { openStore } from '../service/open-store.js'
import { describeClockDifference } from './clock-difference.js'
import type { CommandContext } from './context.js'
import { escapeControls } from './escape-controls.js'
import { readInstantArgument } from './instant-argument.js'

/** The options of `logout`. */
export interface LogoutOptions {
  session?: string
  at?: string
}

const CONSEQUENCES = `This revokes tokens, and does not end Auth0 sessions. A browser with an Auth0 session gets new tokens
without a password. Without the login Action, refresh tokens stay valid as well. End the user's
sessions in Auth0 too, or block the user there.
`

/** Runs `logout`: revokes the tokens of a user, or of one of the user's sessions. */
export async function runLogout(
  context: CommandContext,
  user: string,
  options: LogoutOptions,
): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const userId = readUserId(user)
  const sessionId = options.session === undefined ? null : assertId('session id', options.session)
  const reportedAt = readInstantArgument(options.at ?? 'now')

  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const knownLogouts = await store.readKnownLogouts(userId, sessionId)
    const clockDifference = describeClockDifference(knownLogouts.now, Date.now())
    const report = { userId, sessionId, at: reportedAt, type: 'operator_logout' }
    const at = await store.storeReported(report)
    if (at === null) {
      throw new LastLogoutError(
        'USAGE',
        `The logout cannot be stored: ${options.at} is in the future, since the clock of the database shows ${toDateTime(knownLogouts.now)}. Use now, or an instant in the past.`,
      )
    }
    context.print(clockDifference)
    context.print(describe({ userId, sessionId, at }, knownLogouts, config.policy))
    if (knownLogouts.user === null) {
      context.print(
        'This is the first known logout of this user. Check that the id equals the sub claim of the tokens.\n',
      )
    }
    context.print(CONSEQUENCES)
  } finally {
    await close()
  }
}

/** The logout that this command has stored. */
interface StoredLogout {
  userId: string
  /** `null`: all sessions. */
  sessionId: string | null
  at: Instant
}

/**
 * Describes which tokens are revoked. If a known logout is later than the stored logout, names the time of the former.
 */
function describe(
  { userId, sessionId, at }: StoredLogout,
  { user, session }: LogoutSnapshot,
  policy: Policy,
): string {
  const isSessionOnly = sessionId !== null && policy === 'session'
  const allSessionsAt = policy === 'user' ? user?.at : user?.allSessionsAt
  const knownAt = (isSessionOnly ? session?.at : allSessionsAt) ?? null
  const inSession = isSessionOnly ? ` in session ${escapeControls(sessionId)}` : ''
  const since = toDateTime(later(at, knownAt))
  const laterNote = knownAt !== null && knownAt > at ? ', the time of a later known logout' : ''
  const policyNote =
    sessionId === null || isSessionOnly
      ? ''
      : ' POLICY is user: the logout of one session applies to all of them.'
  return `Tokens of ${escapeControls(userId)}${inSession} are revoked unless their login is later than ${since}${laterNote}.${policyNote}\n`
}

function readUserId(text: string): string {
  const userId = assertId('user id', text)
  if (isMachine(userId)) {
    throw new LastLogoutError(
      'USAGE',
      `The tokens of ${escapeControls(userId)} cannot be revoked: it is an application, which does not log out. Rotate its secret in Auth0, or delete its grant.`,
    )
  }
  // Every user id of Auth0 contains a pipe. In an unquoted id, the shell interprets the pipe and what follows.
  if (userId.includes('|')) return userId
  if (/^[^@\s]+@[^@\s]+$/.test(userId)) {
    throw new LastLogoutError(
      'USAGE',
      `${escapeControls(userId)} is an e-mail address, and tokens name a user by the user id: find it in the Dashboard (User Management > Users > the user > user_id), and quote it, as in: \`last-logout logout 'auth0|123'\``,
    )
  }
  throw new LastLogoutError(
    'USAGE',
    `The user id ${escapeControls(userId)} is invalid: it contains no |, which the shell interprets unless it is quoted. Quote the id, as in: \`last-logout logout 'auth0|123'\``,
  )
}

function assertId(name: string, text: string): string {
  const id = readId(text)
  if (id !== null) return id
  const message = `The ${name} is invalid: it must be a text of 1 to ${MAX_ID_LENGTH} characters.`
  throw new LastLogoutError('USAGE', message)
}
