import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A change feed that says what a test wants; of faults that a real one shows only by chance. */
export interface ScriptedFeed {
  url: string
  /** The queries it was asked with, in order. */
  asked: URLSearchParams[]
  close(): Promise<void>
}

/** The text of one event. */
export function event(name: string, data: object, id?: string): string {
  return `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** What a feed says of its freshness. */
export function freshness(asOfMs: number, over: object = {}): object {
  return { as_of: new Date(asOfMs).toISOString(), lag_ms: 0, policy: 'session', ...over }
}

/** Answers each connection with the next script, and those after the last with the last. */
export async function openScriptedFeed(
  ...scripts: ((response: ServerResponse) => void)[]
): Promise<ScriptedFeed> {
  const asked: URLSearchParams[] = []
  const server = createServer((request, response) => {
    const script = scripts[Math.min(asked.length, scripts.length - 1)]
    asked.push(new URL(request.url ?? '', 'http://feed').searchParams)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    script?.(response)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    async close() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
