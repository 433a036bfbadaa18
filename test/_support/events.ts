import { createEventReader, type ServerSentEvent } from '../../src/client/event-stream.js'
import { KEY } from './served-api.js'

/** Follows the change feed; what comes is in `events`. */
export interface FollowedFeed {
  events: ServerSentEvent[]
  /** The data of the events of this name. */
  named(name: string): Record<string, unknown>[]
  close(): Promise<void>
}

/** Opens a stream of the change feed. */
export async function followFeed(
  url: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<FollowedFeed> {
  const abort = new AbortController()
  const response = await fetch(`${url}/v1/changes${query}`, {
    headers: { authorization: `Bearer ${KEY}`, accept: 'text/event-stream', ...headers },
    signal: abort.signal,
  })
  if (response.status !== 200 || response.body === null) throw new Error(`${response.status}`)
  const events: ServerSentEvent[] = []
  const read = createEventReader((event) => void events.push(event))
  const { body } = response
  const ended = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of body) read(decoder.decode(chunk, { stream: true }))
  })().catch(() => {})
  return {
    events,
    named: (name) =>
      events.filter((event) => event.name === name).map(({ data }) => JSON.parse(data)),
    async close() {
      abort.abort()
      await ended
    },
  }
}
