import { createEventReader, type ServerSentEvent } from '../../src/client/event-stream.js'
import { KEY } from './served-api.js'

/** A subscription to the change feed. */
export interface FeedSubscription {
  /** All events received so far. */
  events: ServerSentEvent[]
  /** Returns the data of the received events with this name. */
  dataOf(name: string): Record<string, unknown>[]
  close(): Promise<void>
}

/** Subscribes to the change feed. If the response has another status than 200, throws an error with this status. */
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
  const read = createEventReader((event) => void events.push(event))
  const { body } = response
  const reading = (async () => {
    const decoder = new TextDecoder()
    for await (const chunk of body) read(decoder.decode(chunk, { stream: true }))
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
