import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach } from 'vitest'
import type { ApiKey } from '../../src/config/api-keys.js'
import type { AppDeps } from '../../src/http/app.js'
import type { LogoutSnapshot } from '../../src/rules/logout-snapshot.js'
import { openApi } from './api.js'
import { API_AUDIENCE, nowSeconds, openTenantTokens, type TenantTokens } from './tenant-tokens.js'

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

/** The store of an API for gateways. */
interface GatewayStore {
  /** The logouts that the store returns for every token, or the error that it throws. */
  snapshot: LogoutSnapshot | Error
  /** The user and session of each read. */
  reads: [userId: string, sessionId: string | null][]
}

/** The API for gateways, with logouts that tests set. */
export interface GatewayApi extends GatewayStore {
  app: FastifyInstance & { lines: string[] }
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
  store: GatewayStore = { snapshot: snapshotWith(), reads: [] },
): Promise<GatewayApi> {
  const unused = async () => {
    throw new Error('not called')
  }
  const app = await openApi({
    apiKeys: Object.values(gatewayKeys),
    verifier,
    readProgress: unused,
    readChanges: unused,
    storeReported: unused,
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
 * Opens the tokens of a tenant and an API for gateways for all tests of a file. Before each test, the API has fresh
 * data without a logout. The result must not be used before the tests and hooks run.
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
