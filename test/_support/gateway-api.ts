import type { FastifyInstance } from 'fastify'
import type { ApiKey } from '../../src/config/api-keys.js'
import type { AppDeps } from '../../src/http/app.js'
import type { LogoutSnapshot } from '../../src/rules/logout-snapshot.js'
import { openApi } from './api.js'
import { API_AUDIENCE, nowSeconds, type TenantTokens } from './tenant-tokens.js'

const key = (name: string, roles: ApiKey['roles']): ApiKey => ({
  name,
  key: name.padEnd(32, '-'),
  roles,
  audience: API_AUDIENCE,
})

/** The keys of gateways, and a key without their roles. */
export const gatewayKeys = {
  introspect: key('introspect', ['introspect']),
  otherApi: { ...key('other-api', ['introspect', 'forward-auth']), audience: 'https://other' },
  forwardAuth: key('forward-auth', ['forward-auth']),
  reader: key('reader', ['read']),
}

/** The API for gateways, with logouts that tests set. */
export interface GatewayApi {
  app: FastifyInstance & { lines: string[] }
  /** What the store returns for every token. An error: the store throws it. */
  snapshot: LogoutSnapshot | Error
  /** The user and session of each read. */
  reads: [userId: string, sessionId: string | null][]
}

/** Returns a snapshot of fresh data, with a logout of the user if there is one. */
export function snapshotWith(userLogoutAt: number | null = null): LogoutSnapshot {
  const now = Date.now()
  const origin = { logId: '', type: 'slo' }
  return {
    user: userLogoutAt === null ? null : { at: userLogoutAt, allSessionsAt: null, ...origin },
    session: null,
    floorAt: null,
    asOf: now,
    now,
    complete: true,
  }
}

/** Returns a snapshot with a logout after the login of every token. */
export const loggedOut = () => snapshotWith(nowSeconds() * 1000)

/** Returns a snapshot of data that is too old. */
export function staleSnapshot(userLogoutAt: number | null = null): LogoutSnapshot {
  const snapshot = snapshotWith(userLogoutAt)
  return { ...snapshot, asOf: snapshot.now - 300_001 }
}

/** Opens the API for gateways. */
export async function openGatewayApi(
  { verifier }: Pick<TenantTokens, 'verifier'>,
  deps: Partial<AppDeps> = {},
): Promise<GatewayApi> {
  const unused = async () => {
    throw new Error('not called')
  }
  const api: Omit<GatewayApi, 'app'> = { snapshot: snapshotWith(), reads: [] }
  const app = await openApi({
    apiKeys: Object.values(gatewayKeys),
    verifier,
    readProgress: unused,
    readChanges: unused,
    storeReported: unused,
    async readKnownLogouts(...read) {
      api.reads.push(read)
      if (api.snapshot instanceof Error) throw api.snapshot
      return api.snapshot
    },
    ...deps,
  })
  return Object.assign(api, { app })
}
