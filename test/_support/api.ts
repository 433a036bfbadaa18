import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { ApiKey } from '../../src/config/api-keys.js'
import { type AppDeps, buildApp } from '../../src/http/app.js'

const key = (name: string, roles: ApiKey['roles']): ApiKey => ({
  name,
  key: name.padEnd(32, '-'),
  roles,
})

/** One key for each role. */
export const keys = {
  reader: key('reader', ['read']),
  checker: key('checker', ['check']),
  subscriber: key('subscriber', ['feed']),
  logout: key('logout', ['logout']),
}

/** The `Authorization` header of a key. */
export function bearer({ key }: ApiKey): { authorization: string } {
  return { authorization: `Bearer ${key}` }
}

/** Opens the API with these functions of a store. `lines` contains the log lines of the API. */
export async function openApi(
  deps: Pick<AppDeps, 'readKnownLogouts' | 'readProgress' | 'readChanges' | 'storeReported'> &
    Partial<AppDeps>,
): Promise<FastifyInstance & { lines: string[] }> {
  const lines: string[] = []
  const app = await buildApp({
    apiKeys: Object.values(keys),
    policy: 'session',
    subscribe: () => () => {},
    maxLagMs: 60_000,
    version: '0.0.0',
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
    ...deps,
  })
  return Object.assign(app, { lines })
}

/** Starts listening on a free port of the loopback interface. Returns the URL. */
export async function listenOnLoopback(app: FastifyInstance): Promise<string> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}
