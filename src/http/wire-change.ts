import { z } from 'zod'
import type { Change } from '../rules/change-feed.js'
import { toDateTime } from '../rules/instant.js'
import { instantSchema } from './schemas.js'

/** A change in a response of the change feed. */
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
])

/** A change as JSON. */
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
    default:
      return change satisfies never
  }
}
