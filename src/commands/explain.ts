import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { toExplanation } from '../rules/explanation.js'
import { readNumericDate } from '../rules/instant.js'
import { isNamespace, NAMESPACE_RULE } from '../rules/namespace.js'
import { claimNames, readToken } from '../rules/token.js'
import { openStore } from '../service/open-store.js'
import type { CommandContext } from './context.js'
import { toText } from './explanation.js'
import { MAX_JWT_LENGTH, readJwtClaims } from './read-jwt.js'
import { rethrowAbortAsUnfinished } from './rethrow-abort-as-unfinished.js'

/** The options of `explain`. */
export interface ExplainOptions {
  namespace?: string
  json?: true
}

/**
 * Runs `explain`: prints whether a token is revoked, and why. Of its claims, prints those that decide, and no others.
 *
 * @param argument A JWT, or `-` to read the JWT from standard input.
 */
export async function runExplain(
  context: CommandContext,
  argument: string,
  options: ExplainOptions,
): Promise<void> {
  const { namespace } = options
  // With another namespace than that of the Action, the claims of the Action would not count.
  if (namespace !== undefined && !isNamespace(namespace)) {
    throw new LastLogoutError('USAGE', `--namespace ${NAMESPACE_RULE}.`)
  }
  const config = loadConfig(context.env, ['database'])
  const jwt =
    argument === '-'
      ? await context.readInput(MAX_JWT_LENGTH).catch(rethrowAbortAsUnfinished)
      : argument
  const claims = readJwtClaims(jwt)
  const token = readToken(claims, claimNames(namespace))
  if (token.subject === null) {
    const message =
      'The token cannot be explained: it has no usable sub claim. Without a user, only the floor and the logout of the session that it names can revoke it. Paste an access token of a user.'
    throw new LastLogoutError('USAGE', message)
  }
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const explanation = toExplanation({
      token,
      expiresAt: readNumericDate(claims.exp),
      snapshot: await store.readKnownLogouts(token.subject, token.sessionId),
      policy: config.policy,
    })
    const text = options.json
      ? `${JSON.stringify(explanation, null, 2)}\n`
      : toText(explanation, context.programName)
    context.print(text)
  } finally {
    await close()
  }
}
