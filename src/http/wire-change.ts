import { z } from 'zod'
import type { Change } from '../rules/change-feed.js'
import { toDateTime } from '../rules/instant.js'
import { instantSchema } from './schemas.js'

/** A change in the JSON of the change feed. */
export const changeSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('user'),
    user_id: z.string(),
    at: instantSchema,
    all_sessions_at: instantSchema.nullable(),
    type: z.string(),
  }),
  z.object({
    kind: z.literal('session'),
    session_id: z.string(),
    user_id: z.string().nullable(),
    at: instantSchema,
    ended: z.boolean(),
    type: z.string(),
  }),
  z.object({ kind: z.literal('floor'), at: instantSchema }),
  z.object({
    kind: z.literal('forgotten_user'),
    key: z.string(),
    user_hash: z.string(),
    at: instantSchema,
    all_sessions_at: instantSchema.nullable(),
    type: z.string(),
  }),
  z.object({
    kind: z.literal('forgotten_session'),
    key: z.string(),
    session_hash: z.string(),
    user_hash: z.string().nullable(),
    at: instantSchema,
    ended: z.boolean(),
    type: z.string(),
  }),
])

/** The type of {@link changeSchema}. */
export type WireChange = z.infer<typeof changeSchema>

/** Converts a change to JSON. */
export function toWireChange(change: Change): WireChange {
  const at = toDateTime(change.at)
  switch (change.kind) {
    case 'user': {
      const all_sessions_at = toDateTime(change.allSessionsAt)
      return { kind: change.kind, user_id: change.userId, at, all_sessions_at, type: change.type }
    }
    case 'session': {
      const { kind, sessionId: session_id, userId: user_id, ended, type } = change
      return { kind, session_id, user_id, at, ended, type }
    }
    case 'floor':
      return { kind: change.kind, at }
    case 'forgotten_user': {
      const { kind, key, userHash: user_hash, type } = change
      return { kind, key, user_hash, at, all_sessions_at: toDateTime(change.allSessionsAt), type }
    }
    case 'forgotten_session': {
      const { kind, key, sessionHash: session_hash, userHash: user_hash, ended, type } = change
      return { kind, key, session_hash, user_hash, at, ended, type }
    }
    default:
      return change satisfies never
  }
}
