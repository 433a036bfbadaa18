import { createLogSource, type LogSourceOptions } from '../auth0/log-source.js'
import { createManagementApi, type ManagementApiOptions } from '../auth0/management-api.js'
import type { Config } from '../config/config.js'
import type { Metrics } from '../metrics/metrics.js'
import type { LogSource } from '../ports.js'

/** Limits of requests to Auth0: the timeout, the size of a response, and the retries. */
export type Auth0Limits = Pick<ManagementApiOptions, 'requestTimeoutMs' | 'maxBodyBytes'> &
  Pick<LogSourceOptions, 'retryLimits'>

/** Creates the source of the configured tenant's log. The metrics observe its requests. */
export function createConfiguredLogSource(
  { config: { auth0 }, metrics }: { config: Config; metrics: Metrics },
  limits: Auth0Limits = {},
): LogSource {
  const { rateShare, clientId, clientSecret } = auth0
  if (clientId === undefined || clientSecret === undefined) {
    throw new TypeError('the configuration must be loaded with the need auth0 to read the log')
  }
  const api = createManagementApi({ ...auth0, clientId, clientSecret, ...limits })
  return createLogSource({ api, rateShare, observe: metrics.onAuth0Response, ...limits })
}
