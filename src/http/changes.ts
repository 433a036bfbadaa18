import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { ChangesPage } from '../rules/change-feed.js'
import type { Policy } from '../rules/judge.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import { createPageFormatter, EVENT_STREAM } from './event-stream.js'
import { createFeed, FEED_LIMITS, type Feed, type FeedDeps, type FeedStart } from './feed.js'
import { toFreshness } from './freshness.js'
import { dateTimeSchema, errorResponses, freshnessSchema, policySchema } from './schemas.js'
import { sendPages } from './send-pages.js'
import { changeSchema, toWireChange } from './wire-change.js'

/** Dependencies of the change feed. */
export interface ChangesDeps extends FeedDeps {
  policy: Policy
  /** Called when the number of subscribers changes. */
  onSubscriber?(change: 1 | -1): void
}

/** Maximum number of changes in a response. */
const MAX_LIMIT = 10_000

/** Time after which a refused caller should retry, in seconds. */
const RETRY_AFTER_SECONDS = 5

const querySchema = z.object({
  after: z
    .string()
    .optional()
    .describe('The cursor of an earlier response. Default: none, which returns everything'),
  since: dateTimeSchema
    .optional()
    .describe('May omit rows that have not changed since this instant; RFC 3339'),
  limit: z.coerce.number().int().min(1).max(MAX_LIMIT).default(1_000),
  load: z
    .enum(['changes', 'columns'])
    .default('changes')
    .describe('Only for a stream: the form of the changes of users and sessions in the load'),
})

const changesSchema = z.object({
  changes: z.array(changeSchema).describe('In commit order. Each is the current state of a row'),
  cursor: z.string().describe('The cursor to continue from. Opaque'),
  as_of: freshnessSchema.shape.as_of.describe(
    'Storage time up to which every logout has been delivered; null while `more` is true',
  ),
  lag_ms: freshnessSchema.shape.lag_ms,
  policy: policySchema,
  more: z.boolean().describe('Whether there is a next page'),
})

/** `GET /v1/changes`: a page of the change feed, or a stream with `Accept: text/event-stream`. */
export function changesRoute(deps: ChangesDeps): FastifyPluginAsyncZod {
  return async (app) => {
    const feed = createFeed(deps)
    // A closing server waits for its connections, so the streams must end first.
    app.addHook('preClose', async () => feed.close())
    const subscribe = createSubscribe(feed, deps)
    app.get(
      '/v1/changes',
      {
        config: { access: 'feed' },
        // Without this option, a HEAD request for a stream would read the feed forever and send nothing.
        exposeHeadRoute: false,
        // A serializer from the schema takes six times as long for a page, because it tests for each kind of change.
        serializerCompiler: () => JSON.stringify,
        schema: {
          summary: 'Changes since a cursor',
          tags: inGroup('Change feed'),
          description:
            'With `Accept: text/event-stream`, the response is a stream of the events `change`, `freshness` (cursor, `as_of`, `lag_ms`, `policy`) and `reset`. ' +
            'After `reset`, the feed begins again without a cursor. The stream resumes after `Last-Event-ID`, else after `after`. ' +
            'With `load=columns`, the changes of users and sessions arrive in events `columns` until the first `freshness`.',
          querystring: querySchema,
          response: {
            200: changesSchema,
            ...errorResponses,
            410: errorResponses[400].describe(
              'The cursor is unknown or ahead of the feed: discard the cursor and load everything again; rows that you hold count until the load is complete',
            ),
          },
        },
      },
      async ({ query, headers }, reply) => {
        const { after = null, since = null, limit, load } = query
        if (feed.isOverloaded())
          return refuse(reply, 'many other callers load the feed: retry later')
        if (headers.accept?.includes(EVENT_STREAM)) {
          const lastEventId = String(headers['last-event-id'] ?? '') || null
          // A browser reconnects with the original URL, so its cursor is in `Last-Event-ID`.
          const start = { after: lastEventId ?? after, since, inColumns: load === 'columns' }
          return subscribe(start, reply)
        }
        const page = await feed.readPage({ after, since, limit }, signalOfClose(reply))
        if (page !== null) return toResponse(page, deps)
        const message =
          'the cursor is unknown, or ahead of a restored database: discard the cursor and load everything again'
        return reply.code(410).send({ statusCode: 410, error: 'Gone', message })
      },
    )
  }
}

/** Creates the function that responds with a stream, unless there are too many subscribers. */
function createSubscribe(
  feed: Feed,
  { policy, feedLimits = FEED_LIMITS, onSubscriber }: ChangesDeps,
) {
  const { maxSubscribers, writeTimeoutMs } = feedLimits
  const format = createPageFormatter(policy)
  const subscribers = createSubscriberCount(onSubscriber)
  return async (start: FeedStart, reply: FastifyReply): Promise<void> => {
    if (subscribers.count() >= maxSubscribers) {
      const message = `the limit of ${maxSubscribers} subscribers is reached: retry later; the operator can run another API process`
      return refuse(reply, message)
    }
    subscribers.add(reply)
    const pages = feed.stream(start, signalOfClose(reply))
    // The first page is read before the headers are sent. If the database is unavailable, the response can be a 503.
    const { done, value: first } = await pages.next()
    if (done === true) return refuse(reply, 'the API process stops: retry later')
    await sendPages(reply, { first, next: pages, format, writeTimeoutMs })
  }
}

/** Creates a counter of subscribers. A subscriber is counted until its connection is closed. */
function createSubscriberCount(onChange: ChangesDeps['onSubscriber']) {
  let count = 0
  const change = (by: 1 | -1) => {
    count += by
    onChange?.(by)
  }
  return {
    count: () => count,
    add({ raw }: FastifyReply): void {
      // A closed connection emits no `close` event, so it would be counted forever.
      if (raw.closed) return
      change(1)
      raw.once('close', () => change(-1))
    },
  }
}

function toResponse(page: ChangesPage, { policy }: ChangesDeps) {
  const { changes, cursor, more } = page
  return { changes: changes.map(toWireChange), cursor, ...toFreshness(page), policy, more }
}

function refuse(reply: FastifyReply, message: string): never {
  reply.header('retry-after', `${RETRY_AFTER_SECONDS}`)
  return sendError(reply, 503, message) as never
}

/** Returns a signal that aborts when the connection of the response closes. */
function signalOfClose({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  if (raw.closed) controller.abort()
  raw.once('close', () => controller.abort())
  return controller.signal
}
