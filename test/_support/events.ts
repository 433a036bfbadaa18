import { createEventReader, type ServerSentEvent } from '../../src/client/event-stream.js'
import { KEY } from './served-api.js'

/** A subscription to the change feed, the stream of all changes of last logouts. */
export interface FeedSubscription {
  /** All events received so far. */
  events: ServerSentEvent[]
  /** Returns the parsed data of all received events of this name. */
  dataOf(name: string): Record<string, unknown>[]
  close(): Promise<void>
}

/** Subscribes to the change feed. Throws if the status of the response is not 200. The error contains the status. */
export async function subscribeToFeed(
  url: string,
  query = '',
  headers: Record<string, string> = {},
): Promise<FeedSubscription> {
  const controller = new AbortController()
  const response = await fetch(`${url}/v1/changes${query}`, {
    headers: { authorization: `Bearer ${KEY}`, accept: 'text/event-stream', ...headers },
    signal: controller.signal,
  })
  if (response.status !== 200 || response.body === null) throw new Error(`${response.status}`)
  const events: ServerSentEvent[] = []
  const readEvents = createEventReader((event) => void events.push(event))
  const { body } = response
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of body) readEvents(decoder.decode(chunk, { stream: true }))
  })().catch(() => {})
  return {
    events,
    dataOf: (name) =>
      events.filter((event) => event.name === name).map(({ data }) => JSON.parse(data)),
    async close() {
      controller.abort()
      await reading
    },
  }
}
