import { z } from 'zod'
import { instantSchema, policySchema } from './schemas.js'

const spanSchema = z.object({ from: instantSchema, to: instantSchema })

const gapSchema = z.object({
  ...spanSchema.shape,
  reason: z.enum(['retention', 'empty_log', 'cold_start']),
  detected_at: instantSchema,
  state: z.enum(['open', 'closed', 'expired']),
  concerned_until: instantSchema.describe('Until when its logouts can concern a token'),
  meaning: z.string().describe('Why the span was not read, and what follows from its state'),
})

const historySchema = z.object({
  since: instantSchema.describe('When this process began to record: after its start'),
  at: z.array(z.number().int()).describe('Unix time in milliseconds, ascending'),
  lag_ms: z
    .array(z.number().int().nullable())
    .describe('The lag at each instant; null: unknown, or the database did not respond'),
})

const scheduleSchema = z.object({
  store: z.enum(['redis', 'postgresql']),
  error: z.string().nullable().describe('The code of the error if the store cannot be read'),
  read_at: instantSchema.describe('When the schedule was read, by the clock of this process'),
  jobs: z.array(
    z.object({
      name: z.string(),
      interval_ms: z.number().int().nullable(),
      next_at: instantSchema.nullable(),
    }),
  ),
})

/** The state of the service, as the console displays it. */
export const consoleDataSchema = z.object({
  version: z.string(),
  now: instantSchema.describe('By the clock of this process, as the times of `history`'),
  tenant: z.string(),
  policy: policySchema,
  max_lag_ms: z.number().int().describe('MAX_LAG: above this lag, `/health/fresh` returns 503'),
  checkpoint: z.string().nullable(),
  as_of: instantSchema.nullable(),
  lag_ms: z.number().int().nullable(),
  last_poll_at: instantSchema.nullable(),
  reconciled_at: instantSchema.nullable(),
  sweep_remaining: spanSchema.nullable(),
  floor_at: instantSchema.nullable(),
  users: z.number().int(),
  sessions: z.number().int(),
  reconciled: z.number().int(),
  unattributable: z.record(z.string(), z.number().int()),
  gap_list: z.array(gapSchema),
  gap_advice: z.string().nullable().describe('How to close the open gaps; null: none is open'),
  subscribers: z.number().int().describe('Subscribers of the change feed of this process'),
  history: historySchema,
  schedule: scheduleSchema,
})

const logoutSchema = z.object({
  at: instantSchema,
  log_id: z.string().nullable(),
  type: z.string().nullable(),
})

/** A verdict and the facts that led to it: the output of `explain --json`. */
export const explanationSchema = z.object({
  signature_verified: z.literal(false),
  subject: z.string(),
  session_id: z.string().nullable(),
  session_id_claim: z.string().nullable(),
  login_at: instantSchema.nullable(),
  login_at_claim: z.string().nullable(),
  expires_at: instantSchema.nullable(),
  expired: z.boolean(),
  policy: policySchema,
  logouts: z.object({
    session: logoutSchema.extend({ ended: z.boolean() }).nullable(),
    all_sessions: logoutSchema.nullable(),
    user: logoutSchema.nullable(),
    floor: logoutSchema.nullable(),
  }),
  decided_by: z.enum(['session', 'all_sessions', 'user', 'floor']).nullable(),
  verdict: z.enum(['revoked', 'not_revoked', 'unknown']),
  revoked: z.boolean().nullable(),
  reason: z.string(),
  as_of: instantSchema.nullable(),
  lag_ms: z.number().int().nullable(),
  complete: z.boolean(),
})
