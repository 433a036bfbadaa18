import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import type { ApiKey } from '../../src/config/api-keys.js'
import { type AppDeps, buildApp } from '../../src/http/app.js'

/** Creates an API key with these roles. */
export const buildKey = (name: string, roles: ApiKey['roles']) => ({
  name,
  // An API key has at least 32 characters.
  key: name.padEnd(32, '-'),
  roles,
})

/** API keys, each with one role. */
export const keys = {
  reader: buildKey('reader', ['read']),
  checker: buildKey('checker', ['check']),
  subscriber: buildKey('subscriber', ['feed']),
  logout: buildKey('logout', ['logout']),
}

/** Returns the `Authorization` header of a key. */
export function bearer({ key }: ApiKey): { authorization: string } {
  return { authorization: `Bearer ${key}` }
}

/** Replaces a function that the test must not call. */
export async function failIfCalled(): Promise<never> {
  throw new Error('not called')
}

/** Creates the API with functions that replace the store. `logLines` contains the log lines of the API. */
export async function openApi(
  deps: Pick<AppDeps, 'readKnownLogouts' | 'readProgress' | 'readChanges' | 'storeReported'> &
    Partial<AppDeps>,
): Promise<FastifyInstance & { logLines: string[] }> {
  const logLines: string[] = []
  const app = await buildApp({
    apiKeys: Object.values(keys),
    policy: 'session',
    subscribe: () => () => {},
    maxLagMs: 60_000,
    version: '0.0.0',
    log: pino({ level: 'trace' }, { write: (line: string) => void logLines.push(line) }),
    ...deps,
  })
  return Object.assign(app, { logLines })
}

/** Starts listening on a free port of the loopback interface. Returns the URL. */
export async function listenOnLoopback(app: FastifyInstance): Promise<string> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
}
