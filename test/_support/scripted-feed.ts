import { createServer, type ServerResponse } from 'node:http'
import { openLoopback } from './loopback.js'

/** A fake of the change feed. The test decides what each response contains, including faults. */
export interface ScriptedFeed {
  url: string
  /** The query parameters of each request, in order. */
  queries: URLSearchParams[]
  close(): Promise<void>
}

/** Returns the text of one event in the format of Server-Sent Events. */
export function eventText(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** Returns the data of the event `freshness`, which contains how recent the data of the service is. */
export function freshnessData(asOfMs: number, overrides: object = {}): object {
  return { as_of: new Date(asOfMs).toISOString(), lag_ms: 0, policy: 'session', ...overrides }
}

/**
 * Opens a change feed. The first request runs the first function, and so on. All requests after the last function run
 * the last function again.
 */
export async function openScriptedFeed(
  ...responders: ((response: ServerResponse) => void)[]
): Promise<ScriptedFeed> {
  const queries: URLSearchParams[] = []
  const server = createServer((request, response) => {
    const respond = responders[Math.min(queries.length, responders.length - 1)]
    queries.push(new URL(request.url ?? '', 'http://feed').searchParams)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    respond?.(response)
  })
  const { url, close } = await openLoopback(server)
  return { url, queries, close }
}
