import { createServer, type ServerResponse } from 'node:http'
import { openLoopback } from './loopback.js'

/** A change feed that sends scripted responses, with faults that a real one rarely has. */
export interface ScriptedFeed {
  url: string
  /** The queries of its requests, in order. */
  queries: URLSearchParams[]
  close(): Promise<void>
}

/** The text of one event. */
export function event(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** The data of a freshness event. */
export function freshness(asOfMs: number, over: object = {}): object {
  return { as_of: new Date(asOfMs).toISOString(), lag_ms: 0, policy: 'session', ...over }
}

/** Runs the next script for each connection, and the last script for all further ones. */
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
