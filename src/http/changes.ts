import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ChangesPage } from '../rules/change-feed.js'
import type { Policy } from '../rules/judge.js'
import { toEvents, toJson } from './change-events.js'
import { sendError } from './errors.js'
import { createFeed, FEED_LIMITS, type FeedDeps, type FeedStart } from './feed.js'
import { toFreshness } from './freshness.js'
import { dateTimeSchema, errorResponses, freshnessSchema, instantSchema } from './schemas.js'

/** What the change feed asks. */
export interface ChangesDeps extends FeedDeps {
  policy: Policy
}

const EVENT_STREAM = 'text/event-stream'

const MAX_LIMIT = 10_000

const querySchema = z.object({
  after: z.string().optional().describe('The cursor of an earlier answer; without: everything'),
  since: dateTimeSchema
    .optional()
    .describe('May leave out what has not changed since then; RFC 3339'),
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(1_000),
})

const changeSchema = z.discriminatedUnion('kind', [
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

const changesSchema = z.object({
  changes: z.array(changeSchema).describe('In the order of their commits; a row as it is now'),
  cursor: z.string().describe('Where to continue: opaque'),
  as_of: freshnessSchema.shape.as_of.describe('What is known by now; null while there is more'),
  lag_ms: freshnessSchema.shape.lag_ms,
  policy: z.enum(['session', 'user']),
  more: z.boolean(),
})

/** `GET /v1/changes`: pages, or with `Accept: text/event-stream` the same as Server-Sent Events. */
export function changesRoute(deps: ChangesDeps): FastifyPluginAsyncZod {
  return async (app) => {
    const feed = createFeed(deps)
    const { maxSubscribers, writeTimeoutMs } = deps.feedLimits ?? FEED_LIMITS
    // Before the server waits for its connections to end.
    app.addHook('preClose', async () => feed.close())
    let followers = 0
    const follow = async (query: FeedStart, reply: FastifyReply) => {
      if (followers >= maxSubscribers) return refuseFollower(reply, maxSubscribers)
      // Whoever has gone already does not go again.
      if (!reply.raw.closed) {
        followers++
        reply.raw.once('close', () => followers--)
      }
      const pages = feed.follow(query)
      // While the database is away this is a 503, and no stream that breaks.
      const { value: first = null } = await pages.next()
      return sendEvents(reply, toEvents(first, pages, deps.policy), writeTimeoutMs)
    }
    app.get(
      '/v1/changes',
      {
        config: { access: 'feed' },
        // It would read the whole feed to say nothing, for ever.
        exposeHeadRoute: false,
        schema: {
          summary: 'What has changed since a cursor',
          description:
            'With `Accept: text/event-stream`: events `change`, `freshness` (cursor, `as_of`, `lag_ms`, `policy`) and `reset`, ' +
            'after which everything follows anew. Resumes after `Last-Event-ID`, else `after`.',
          querystring: querySchema,
          response: {
            200: changesSchema,
            ...errorResponses,
            410: errorResponses[400].describe('The cursor is unknown or ahead: begin without one'),
          },
        },
      },
      async ({ query, headers }, reply) => {
        const { after = null, since = null, limit } = query
        if (headers.accept?.includes(EVENT_STREAM)) {
          const lastEventId = String(headers['last-event-id'] ?? '') || null
          // A browser that connects again keeps its URL, and says in the header how far it came.
          return follow({ after: lastEventId ?? after, since }, reply)
        }
        const page = await deps.readChanges({ after, since, limit })
        if (page !== null) return toAnswer(page, deps)
        const message =
          'the cursor is unknown, or ahead of a restored database: drop what you hold and begin without one'
        return reply.code(410).send({ statusCode: 410, error: 'Gone', message })
      },
    )
  }
}

function toAnswer(page: ChangesPage, { policy }: ChangesDeps) {
  const { changes, cursor, more } = page
  return { changes: changes.map(toJson), cursor, ...toFreshness(page), policy, more }
}

function refuseFollower(reply: FastifyReply, maxSubscribers: number): never {
  reply.header('retry-after', '5')
  const message = `${maxSubscribers} follow the feed here already: run another \`last-logout api\` beside this one`
  return sendError(reply, 503, message) as never
}

/** Reads on as its reader takes what was read, and drops the one who does not: to come back with its cursor. */
function sendEvents(reply: FastifyReply, events: AsyncIterable<string>, timeoutMs: number): never {
  const drop = () => void reply.raw.destroy()
  const taken = whileTaken(events, timeoutMs, drop)
  return (
    reply
      .header('content-type', EVENT_STREAM)
      .header('cache-control', 'no-store, no-transform')
      // Caddy compresses in spite of no-transform and then holds events back; never what already has an encoding.
      .header('content-encoding', 'identity')
      // Nothing follows on this connection: without it, a closing server would wait for its time-out.
      .header('connection', 'close')
      // nginx would hold the events back.
      .header('x-accel-buffering', 'no')
      .send(Readable.from(taken, { highWaterMark: 1 })) as never
  )
}

async function* whileTaken(
  texts: AsyncIterable<string>,
  timeoutMs: number,
  drop: () => void,
): AsyncGenerator<string> {
  let late: NodeJS.Timeout | undefined
  try {
    for await (const text of texts) {
      late = setTimeout(drop, timeoutMs)
      yield text
      clearTimeout(late)
    }
  } finally {
    clearTimeout(late)
  }
}
