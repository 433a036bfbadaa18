/**
 * Serves a change feed in its own process, and sends the port to the parent process. The feed begins with one freshness
 * event, after which a client is ready. Forwards each text from the parent process to all subscribers.
 */
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const subscribers = new Set<ServerResponse>()
const server = createServer((_request, response) => {
  response.setHeader('content-type', 'text/event-stream')
  subscribers.add(response)
  const freshness = { as_of: new Date().toISOString(), lag_ms: 0, policy: 'session' }
  response.write(`event: freshness\nid: 1\ndata: ${JSON.stringify(freshness)}\n\n`)
}).listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))

process.on('message', (text: string) => {
  for (const response of subscribers) response.write(text)
})
