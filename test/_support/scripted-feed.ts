import { createServer, type ServerResponse } from 'node:http'
import { openLoopback } from './loopback.js'

/** A change feed whose responses are scripts of the test. It can have faults that a real service rarely has. */
export interface ScriptedFeed {
  url: string
  /** The query of each request, in order. */
  queries: URLSearchParams[]
  close(): Promise<void>
}

/** Returns the text of one Server-Sent Event. */
export function event(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** Returns the data of a freshness event. */
export function freshness(asOfMs: number, overrides: object = {}): object {
  return { as_of: new Date(asOfMs).toISOString(), lag_ms: 0, policy: 'session', ...overrides }
}

/** Opens a change feed. Each request runs the next script. The last script is repeated. */
export async function openScriptedFeed(
  ...scripts: ((response: ServerResponse) => void)[]
): Promise<ScriptedFeed> {
  const queries: URLSearchParams[] = []
  const server = createServer((request, response) => {
    const script = scripts[Math.min(queries.length, scripts.length - 1)]
    queries.push(new URL(request.url ?? '', 'http://feed').searchParams)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    script?.(response)
  })
  const { url, close } = await openLoopback(server)
  return { url, queries, close }
}
