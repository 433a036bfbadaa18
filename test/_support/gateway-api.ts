import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import type { ApiKey } from '../../src/config/api-keys.js'
import type { AppDeps } from '../../src/http/app.js'
import type { LogoutSnapshot } from '../../src/rules/logout-snapshot.js'
import { buildKey, openApi } from './api.js'
import { API_AUDIENCE, nowSeconds, openTenantTokens, type TenantTokens } from './tenant-tokens.js'

const createGatewayKey = (name: string, roles: ApiKey['roles']): ApiKey => ({
  ...buildKey(name, roles),
  audience: API_AUDIENCE,
})

/**
 * API keys of gateways. A gateway is a proxy in front of an API. It sends each token to last-logout before it forwards
 * the request. `reader` is a key without the roles of a gateway.
 */
export const gatewayKeys = {
  introspect: createGatewayKey('introspect', ['introspect']),
  otherApi: {
    ...createGatewayKey('other-api', ['introspect', 'forward-auth']),
    audience: 'https://other',
  },
  forwardAuth: createGatewayKey('forward-auth', ['forward-auth']),
  reader: createGatewayKey('reader', ['read']),
}

/** The maximum age of the data: if the data is older, a gateway gets 503. */
const MAX_STALENESS_MS = 300_000

/** A replacement for the store. */
interface GatewayStore {
  /** The known logouts that the store returns for every user, or the error that the store throws. */
  snapshot: LogoutSnapshot | Error
  /** The arguments of each read of the store. */
  reads: [userId: string, sessionId: string | null][]
}

/** The API for gateways. Tests set the logouts with `snapshot`. */
export interface GatewayApi extends GatewayStore {
  app: FastifyInstance & { logLines: string[] }
}

/** Returns a snapshot of fresh data. If `userLogoutAt` is `null`, no user has logged out. */
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
export const loggedOutSnapshot = () => snapshotWith(nowSeconds() * 1000)

/** Returns a snapshot of stale data: data that is too old for a decision. */
export function staleSnapshot(userLogoutAt: number | null = null): LogoutSnapshot {
  const snapshot = snapshotWith(userLogoutAt)
  return { ...snapshot, asOf: snapshot.now - MAX_STALENESS_MS - 1 }
}

/** Opens the API for gateways. */
export async function openGatewayApi(
  { verifier }: Pick<TenantTokens, 'verifier'>,
  deps: Partial<AppDeps> = {},
  store: GatewayStore = { snapshot: snapshotWith(), reads: [] },
): Promise<GatewayApi> {
  const notImplemented = async () => {
    throw new Error('not called')
  }
  const app = await openApi({
    apiKeys: Object.values(gatewayKeys),
    verifier,
    readProgress: notImplemented,
    readChanges: notImplemented,
    storeReported: notImplemented,
    async readKnownLogouts(...read) {
      store.reads.push(read)
      if (store.snapshot instanceof Error) throw store.snapshot
      return store.snapshot
    },
    ...deps,
  })
  return Object.assign(store, { app })
}

/**
 * Opens the tokens of a tenant and an API for gateways for all tests of a file. Before each test, the data is fresh,
 * and no user has logged out. Use the result only in tests and hooks, because `beforeAll` fills it.
 */
export function useGatewayApi(): { tokens: TenantTokens; api: GatewayApi } {
  const tokens = {} as TenantTokens
  const store: GatewayStore = { snapshot: snapshotWith(), reads: [] }
  const api = store as GatewayApi
  beforeAll(async () => {
    Object.assign(tokens, await openTenantTokens())
    await openGatewayApi(tokens, {}, store)
  })
  afterAll(async () => {
    await api.app.close()
    await tokens.close()
  })
  beforeEach(() => {
    api.snapshot = snapshotWith()
    api.reads.length = 0
  })
  return { tokens, api }
}
