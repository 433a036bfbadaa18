import { z } from 'zod'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { readDateTime } from '../rules/instant.js'
import type { Policy } from '../rules/judge.js'

/** A user or session id. */
export const idSchema = z
  .string()
  .max(MAX_ID_LENGTH)
  .refine((id) => readId(id) !== null, {
    message: 'must be an id: not blank, without NUL or lone surrogates',
  })

const INVALID_DATE_TIME = 'must be an RFC 3339 date-time with a zone, from 2000 to 2199'

/** An RFC 3339 date-time in a request. The schema converts it to an instant. */
export const dateTimeSchema = z.string().transform((text, context) => {
  const at = readDateTime(text)
  if (at !== null) return at
  context.addIssue({ code: 'custom', message: INVALID_DATE_TIME })
  return z.NEVER
})

/** An instant in a response. */
export const instantSchema = z.string().describe('RFC 3339 with milliseconds, UTC')

/** Which tokens a logout revokes: those of its session, or all tokens of its user. */
export const policySchema = z.enum(['session', 'user'] satisfies Policy[])

/** How recent and how complete the data of a response is. */
export const freshnessSchema = z.object({
  as_of: instantSchema
    .nullable()
    .describe(
      'Storage time up to which the log has been read; null until it has been read to its end for the first time',
    ),
  lag_ms: z
    .number()
    .int()
    .nullable()
    .describe(
      'Age of `as_of` by the clock of the database, in milliseconds; null if `as_of` is null or more than 60 s ahead',
    ),
  complete: z
    .boolean()
    .describe('False if a logout that could affect a valid token may be missing'),
})

/** An error, in the format of Auth0's errors. */
const errorSchema = z.object({
  statusCode: z.number().int(),
  error: z.string(),
  message: z.string(),
})

/** Errors of every route that requires a key. */
export const errorResponses = {
  400: errorSchema.describe('The request is invalid'),
  401: errorSchema.describe('The key is missing or unknown'),
  403: errorSchema.describe('The key lacks the role'),
  429: errorSchema.describe('Too many wrong keys from this address'),
  503: errorSchema.describe('The database is unavailable'),
}
