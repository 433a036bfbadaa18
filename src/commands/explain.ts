import { loadConfig } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { readNumericDate } from '../rules/instant.js'
import { claimNames, readToken } from '../rules/token.js'
import { openStore } from '../service/open-store.js'
import type { CommandContext } from './context.js'
import { toExplanation, toText } from './explanation.js'
import { LONGEST_JWT, readJwtClaims } from './read-jwt.js'
import { rethrow } from './rethrow.js'

/** The options of `explain`. */
export interface ExplainOptions {
  namespace?: string
  json?: true
}

/** `explain`: why a token is revoked, or is not. Of the token it shows only what is judged. */
export async function explain(
  context: CommandContext,
  text: string,
  options: ExplainOptions,
): Promise<void> {
  const config = loadConfig(context.env, ['database'])
  const claims = readJwtClaims(
    text === '-' ? await context.readInput(LONGEST_JWT).catch(rethrow) : text,
  )
  const token = readToken(claims, claimNames(options.namespace))
  if (token.subject === null) {
    const message = 'the token has no usable sub claim: there is nobody whose logout could end it'
    throw new LastLogoutError('USAGE', message)
  }
  const log = await context.createLog(config.logLevel, 'stderr')
  const { store, close } = await openStore(config, log, { attachOnly: true })
  try {
    const explanation = toExplanation({
      token,
      expiresAt: readNumericDate(claims.exp),
      known: await store.readKnown(token.subject, token.sessionId),
      policy: config.policy,
    })
    context.print(options.json ? `${JSON.stringify(explanation, null, 2)}\n` : toText(explanation))
  } finally {
    await close()
  }
}
