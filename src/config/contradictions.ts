import { DAY_MS } from '../rules/instant.js'
import { readKey } from './api-keys.js'
import { findSchemaProblems } from './database-schema.js'
import type { GivenVariables } from './secret-files.js'
import { findAudienceProblems } from './token-settings.js'
import type { Variables } from './variables.js'

/**
 * Returns the problems of variables that contradict each other.
 *
 * @param values The valid values.
 * @param given All variables that are set. Some exclude each other whatever their values are, even invalid ones.
 */
export function findContradictions(values: Partial<Variables>, given: GivenVariables): string[] {
  const { RETAIN_DAYS = Infinity, MAX_REFRESH_AGE = 0, MAX_TOKEN_AGE = 0 } = values
  const minDays = Math.ceil((MAX_REFRESH_AGE + MAX_TOKEN_AGE) / DAY_MS)
  return [
    ...(RETAIN_DAYS < minDays
      ? [`RETAIN_DAYS must be at least ${minDays}: MAX_REFRESH_AGE plus MAX_TOKEN_AGE`]
      : []),
    ...(values.API_KEYS?.some(({ key }) => isSameSecret(key, values.LOG_STREAM_TOKEN))
      ? [
          'LOG_STREAM_TOKEN must not be a key of API_KEYS: the log stream must not have access to the API',
        ]
      : []),
    ...('DATABASE_URL' in given && 'DATA_DIR' in given
      ? ['DATABASE_URL and DATA_DIR exclude each other: set one of them']
      : []),
    ...('DATABASE_DIRECT_URL' in given && 'DATA_DIR' in given
      ? [
          'DATABASE_DIRECT_URL and DATA_DIR exclude each other: the embedded PostgreSQL has no other URL; remove one of them',
        ]
      : []),
    // If no API keys are set, the process is a worker that can share the other variables of the API.
    ...(values.API_KEYS === undefined
      ? []
      : findAudienceProblems(values.API_KEYS, values.TOKEN_AUDIENCES)),
    ...findSchemaProblems({
      DATABASE_URL: values.DATABASE_URL,
      DATABASE_DIRECT_URL: values.DATABASE_DIRECT_URL,
    }),
  ]
}

/** Whether an API key equals the token of the log stream. The token can begin with an authorization scheme. */
function isSameSecret(key: string, token: string | undefined): boolean {
  return key === token || key === readKey(token)
}
