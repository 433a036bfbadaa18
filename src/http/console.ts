import type { FastifyReply } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import { PAGE_FILE_NAMES, type PageFileName, readPageFile } from '../console/page-files.js'
import { toExplanation } from '../rules/explanation.js'
import { readNumericDate } from '../rules/instant.js'
import { claimNames, readToken } from '../rules/token.js'
import { checkSchema } from './check.js'
import { consoleDataSchema, explanationSchema } from './console-schemas.js'
import { inGroup } from './docs.js'
import { sendError } from './errors.js'
import type { ReadDeps } from './last-logout.js'
import { errorResponses } from './schemas.js'
import { CONSOLE_POLICY } from './security-headers.js'

/** The state of the service, without the fields that this route adds. */
export type ConsoleState = Omit<z.output<typeof consoleDataSchema>, AddedFields>

type AddedFields = 'version' | 'policy' | 'max_lag_ms' | 'subscribers'

/** Dependencies of the console. */
export interface ConsoleDeps extends ReadDeps {
  readConsoleState(): Promise<ConsoleState>
  version: string
  maxLagMs: number
  countSubscribers(): number
}

const tags = inGroup('Console')

/**
 * `/console`: a page for operators. The page contains no data and needs no key, because a browser cannot send a key
 * when it opens a URL. The operator enters a key on the page, which sends this key with every request for data.
 */
export function consoleRoutes(deps: ConsoleDeps): FastifyPluginAsyncZod {
  const { readConsoleState, version, policy, maxLagMs, countSubscribers } = deps
  return async (app) => {
    const page = { config: { access: 'public' }, schema: { hide: true } } as const
    app.get('/console', page, (_request, reply) => sendPageFile(reply, 'index.html'))
    // The redirect is relative, because a proxy can add a prefix to the paths of the API.
    app.get('/console/', page, (_request, reply) => reply.redirect('../console'))
    for (const name of PAGE_FILE_NAMES) {
      app.get(`/console/${name}`, page, (_request, reply) => sendPageFile(reply, name))
    }
    app.get(
      '/console/data',
      {
        config: { access: 'metrics' },
        schema: {
          summary: 'The state of the service, for the console',
          tags,
          response: { 200: consoleDataSchema, ...errorResponses },
        },
      },
      async () => ({
        version,
        policy,
        max_lag_ms: maxLagMs,
        subscribers: countSubscribers(),
        ...(await readConsoleState()),
      }),
    )
    app.post(
      '/console/data/explain',
      {
        config: { access: 'read' },
        schema: {
          summary: 'Explains whether a token is revoked, and why',
          tags,
          body: checkSchema,
          response: { 200: explanationSchema, ...errorResponses },
        },
      },
      async ({ body: { claims, namespace } }, reply) => {
        const token = readToken(claims, claimNames(namespace))
        const { subject, sessionId } = token
        if (subject === null) {
          return sendError(reply, 400, 'body/claims/sub must be a string of 1 to 800 characters')
        }
        return toExplanation({
          token: { ...token, subject },
          expiresAt: readNumericDate(claims.exp),
          snapshot: await deps.readKnownLogouts(subject, sessionId),
          policy,
        })
      },
    )
  }
}

async function sendPageFile(reply: FastifyReply, name: PageFileName): Promise<FastifyReply> {
  const { type, body } = await readPageFile(name)
  return reply.header('content-security-policy', CONSOLE_POLICY).type(type).send(body)
}
