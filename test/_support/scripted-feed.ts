import { createServer, type ServerResponse } from 'node:http'
import { openLoopback } from './loopback.js'

/** A change feed that sends scripted responses, for faults that a real service rarely has. */
export interface ScriptedFeed {
  url: string
  /** The query of each request, in order. */
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

/** Opens a change feed. Each request runs the next script. After the last script, further requests run that one again. */
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
