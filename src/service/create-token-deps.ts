import type { Logger } from 'pino'
import type { Config } from '../config/config.js'
import type { AppDeps } from '../http/app.js'

/**
 * Creates the dependencies of the routes that verify the tokens of users. Returns an empty object if the configuration
 * has no such route: no key of a gateway, and `/logout` is disabled. Begins to fetch the key set, so that a wrong URL
 * is logged at the start.
 */
export async function createTokenDeps({
  config,
  log,
}: {
  config: Config
  log: Logger
}): Promise<Pick<AppDeps, 'verifier' | 'logoutIssuers'>> {
  const { tokens, http, maxTokenAgeMs, maxRefreshAgeMs } = config
  const apiAudiences = http.apiKeys.flatMap(({ audience }) => audience ?? [])
  if (apiAudiences.length === 0 && !http.logoutEndpoint) return {}
  const { createKeySet } = await import('../tokens/key-set.js')
  const { createTokenVerifier } = await import('../tokens/token-verifier.js')
  const keySet = createKeySet({
    url: tokens.jwksUrl,
    send: await createSend(tokens.proxy),
    log: log.child({ part: 'api' }),
  })
  void keySet.load()
  const { issuers } = tokens
  // Every token of an older login has expired, so an older hint has no effect.
  const maxHintAgeMs = maxTokenAgeMs + maxRefreshAgeMs
  return {
    verifier: createTokenVerifier({ issuers, keySet, apiAudiences, maxHintAgeMs }),
    logoutIssuers: http.logoutEndpoint ? issuers : undefined,
  }
}

async function createSend(proxy: Config['tokens']['proxy']): Promise<typeof fetch | undefined> {
  if (proxy === undefined) return undefined
  const { createProxyFetch } = await import('../auth0/proxy-fetch.js')
  return createProxyFetch(proxy)
}
