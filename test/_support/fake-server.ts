import { createServer } from 'node:http'
import { onTestFinished } from 'vitest'
import { openLoopback } from './loopback.js'

/** The status and the body of a response. */
export type FakeResponse = [status: number, body: string]

/** A fake server. It stands for last-logout, or for a proxy between a client and last-logout. */
export interface FakeServer {
  url: string
  /** The requested URLs, without the host. */
  requestedUrls: string[]
}

/** Opens a fake server until the test ends. If `respond` returns `null`, the server does not respond. */
export async function openFakeServer(
  respond: (url: string) => FakeResponse | null,
): Promise<FakeServer> {
  const requestedUrls: string[] = []
  const server = createServer((request, response) => {
    const url = request.url ?? ''
    requestedUrls.push(url)
    const fake = respond(url)
    if (fake !== null) response.writeHead(fake[0]).end(fake[1])
  })
  const { url, close } = await openLoopback(server)
  onTestFinished(close)
  return { url, requestedUrls }
}

/** Returns the response of the service about a user and a session that have not logged out. */
export function responseAbout(user_id: string, session_id: string | null = null): FakeResponse {
  const body = {
    user_id,
    last_logout_at: null,
    last_logout: null,
    all_sessions_at: null,
    session: session_id === null ? null : { session_id, logout_at: null, ended: false },
    floor_at: null,
    policy: 'session',
    as_of: new Date().toISOString(),
    lag_ms: 0,
    complete: true,
  }
  return [200, JSON.stringify(body)]
}

/** The 404 response of the service. A client recognizes it by the message. */
export const OWN_NOT_FOUND: FakeResponse = [
  404,
  '{"statusCode":404,"error":"Not Found","message":"not found: /docs lists all paths"}',
]

/** 404 responses of other servers, such as a web server or an API gateway. */
export const FOREIGN_NOT_FOUND: FakeResponse[] = [
  [404, '<html><body><h1>404 Not Found</h1></body></html>'],
  [404, '{"message":"no Route matched with those values"}'],
  [404, '{"statusCode":404,"error":"Not Found","message":"","path":"/v1/last-logout"}'],
  [404, ''],
]
