import type { AddressInfo } from 'node:net'
import { initTRPC, TRPCError } from '@trpc/server'
import { type CreateHTTPContextOptions, createHTTPServer } from '@trpc/server/adapters/standalone'
import { createRemoteJWKSet, type JWTPayload, jwtVerify } from 'jose'
import { createLastLogoutClient } from 'last-logout-client'
import { lastLogout, responseMeta } from 'last-logout-client/trpc'

const { ISSUER_BASE_URL, AUDIENCE, PORT } = process.env
if (!ISSUER_BASE_URL || !AUDIENCE) throw new Error('set ISSUER_BASE_URL and AUDIENCE')
const { LAST_LOGOUT_URL: url = '', LAST_LOGOUT_API_KEY: apiKey = '' } = process.env
const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', ISSUER_BASE_URL))
const client = createLastLogoutClient({ url, apiKey, onUnknown: 'deny', onError: console.error })

interface Context {
  /** The verified claims of the access token. `null`: the request has no valid token. */
  claims: JWTPayload | null
}

async function createContext({ req }: CreateHTTPContextOptions): Promise<Context> {
  const [, token = ''] = /^Bearer (.+)$/i.exec(req.headers.authorization ?? '') ?? []
  const issuer = new URL('/', ISSUER_BASE_URL).href
  const expected = { audience: AUDIENCE, issuer, algorithms: ['RS256'] }
  const verified = await jwtVerify(token, keys, expected).catch((error) => {
    // These errors mean that the token is invalid. Others mean that its keys are unavailable.
    if (!/^ERR_JW[TS]_|ALG_NOT_ALLOWED|NOT_SUPPORTED|MATCHING_KEY/.test(error.code)) throw error
  })
  return { claims: verified?.payload ?? null }
}

const t = initTRPC.context<Context>().create()

const protectedProcedure = t.procedure
  .use(({ ctx, next }) => {
    if (!ctx.claims) throw new TRPCError({ code: 'UNAUTHORIZED' })
    return next({ ctx: { claims: ctx.claims } })
  })
  .use(lastLogout(client, { getClaims: (ctx) => ctx.claims }))

const router = t.router({
  orders: protectedProcedure.query(({ ctx }) => ({ user: ctx.claims.sub })),
})

/** The type for `createTRPCClient`. */
export type AppRouter = typeof router

// `responseMeta` sets the headers of refusals.
const server = createHTTPServer({ router, createContext, responseMeta })
server.listen(Number(PORT), '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})
