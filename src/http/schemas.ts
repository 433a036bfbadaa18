import { z } from 'zod'
import { MAX_ID_LENGTH, readId } from '../rules/id.js'
import { readDateTime } from '../rules/instant.js'

/** A user or session id, percent-decoded. */
export const idSchema = z
  .string()
  .max(MAX_ID_LENGTH)
  .refine((id) => readId(id) !== null, {
    message: 'must be an id: not blank, of characters that can be stored',
  })

/** An RFC 3339 date-time, read to an instant. */
export const dateTimeSchema = z.string().transform((text, context) => {
  const at = readDateTime(text)
  if (at !== null) return at
  context.addIssue({ code: 'custom', message: 'must be an RFC 3339 date-time with a zone' })
  return z.NEVER
})

/** RFC 3339 with milliseconds, UTC. */
export const instantSchema = z.string().describe('RFC 3339 with milliseconds, UTC')

/** How old an answer is. */
export const freshnessSchema = z.object({
  as_of: instantSchema
    .nullable()
    .describe('Storage time up to which the log is known to have been read; null before that'),
  lag_ms: z
    .number()
    .int()
    .nullable()
    .describe(
      'How long ago `as_of` is by the clock of the database, in milliseconds; null where `as_of` is, or where it lies more than 60 s ahead',
    ),
  complete: z
    .boolean()
    .describe('Nothing that could concern a living token is known to be missing'),
})

/** What every error looks like, as Auth0's own. */
const errorSchema = z.object({
  statusCode: z.number().int(),
  error: z.string(),
  message: z.string(),
})

/** The errors that every closed route can answer with. */
export const errorResponses = {
  400: errorSchema.describe('The request cannot be understood'),
  401: errorSchema.describe('The key is missing or unknown'),
  403: errorSchema.describe('The key lacks the role'),
  429: errorSchema.describe('Too many wrong keys came from this address'),
  503: errorSchema.describe('The database does not answer'),
}
