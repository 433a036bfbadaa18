import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import { parse } from './action-draft.js'
import { buildEntry } from './entries.js'
import { ApiError } from './errors.js'
import { FAULT_PATH } from './fault-path.js'
import { type Faults, rateLimited, respondWith } from './faults.js'
import type { Tenant } from './tenant.js'

const INSTANT = z.iso.datetime({ offset: true }).transform((text) => Date.parse(text))

const ENTRY = z.strictObject({
  type: z.string().min(1),
  user_id: z.string().optional(),
  user_name: z.string().optional(),
  session_id: z.string().optional(),
  /** When the event happened. Default: now. */
  date: INSTANT.optional(),
  /**
   * When the entry is stored. A time in the past simulates a late entry. Default: the time of the event plus the
   * tenant's usual delay.
   */
  stored_at: INSTANT.optional(),
})

/** Names and values of headers: RFC 9110 §5.1, §5.5. */
const HEADER_NAME = z.string().regex(/^[\w!#$%&'*+.^`|~-]+$/)
const HEADER_VALUE = z.string().regex(/^[\t\x20-\x7e\x80-\xff]*$/)

const FAULT = z.strictObject({
  status: z.int().min(400).max(599),
  path: z.string().regex(FAULT_PATH, 'set a path without a query').default('/api/v2/logs'),
  times: z.int().min(1).default(1),
  headers: z.record(HEADER_NAME, HEADER_VALUE).default({}),
})

/** Dependencies of {@link addControlRoutes}. */
interface ControlApi {
  tenant: Tenant
  faults: Faults
}

/**
 * Adds endpoints for tests in other processes. Such a test can write entries and cause faults. The endpoints need no
 * token.
 */
export function addControlRoutes(app: FastifyInstance, { tenant, faults }: ControlApi): void {
  app.post('/simulator/entries', (request, reply) => {
    const { type, user_id, user_name, session_id, date, stored_at } = parse(ENTRY, request.body)
    const subject = {
      domain: tenant.domain,
      ...(user_id !== undefined && { userId: user_id }),
      ...(user_name !== undefined && { userName: user_name }),
      ...(session_id !== undefined && { sessionId: session_id }),
    }
    const times = {
      ...(date !== undefined && { dateMs: date }),
      ...(stored_at !== undefined && { storedAtMs: stored_at }),
    }
    const { entry, storedAtMs } = tenant.write(buildEntry(type, subject), times)
    return reply.code(201).send({ stored_at: new Date(storedAtMs).toISOString(), entry })
  })

  app.post('/simulator/faults', (request, reply) => {
    const { status, path, times, headers } = parse(FAULT, request.body)
    const { body } = new ApiError(status, 'A fault of the simulator')
    const respond = status === 429 ? rateLimited(headers) : respondWith(status, body, headers)
    faults.push({ path, times, respond })
    return reply.code(204).send()
  })
}
