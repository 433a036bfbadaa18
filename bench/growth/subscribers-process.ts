/**
 * Subscribes to the change feed many times in its own process, without parsing the events. A marker is a text in the
 * feed. The first marker is the event after the initial load of all logouts. Each further marker comes from the parent
 * process. This process responds with `watching`. When the last subscriber has received a marker, this process sends a
 * {@link MarkerReceived}. The arguments are the URL of the API and the number of subscribers.
 */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { BENCH_KEY } from '../start-api.js'

/** The message that all subscribers have received the marker. */
export interface MarkerReceived {
  /** When the last subscriber received the marker, in milliseconds since the epoch. */
  atMs: number
  /** Bytes that one subscriber received since the parent process sent the marker. */
  bytes: number
}

const [url = '', count = ''] = process.argv.slice(2)
let marker = Buffer.from('event: freshness')
let subscribersWithoutMarker = Number(count)
/** Bytes that the first subscriber has received. */
let bytes = 0

await Promise.all(Array.from({ length: Number(count) }, (_, n) => subscribe(n === 0)))

process.on('message', (text: string) => {
  marker = Buffer.from(text)
  subscribersWithoutMarker = Number(count)
  bytes = 0
  process.send?.('watching')
})

async function subscribe(isFirst: boolean): Promise<void> {
  const headers = { authorization: `Bearer ${BENCH_KEY}`, accept: 'text/event-stream' }
  const request = get(`${url}/v1/changes`, { headers, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`the feed responded ${response.statusCode}`)
  let foundMarker: Buffer | undefined
  let previousEnd = Buffer.alloc(0)
  response.on('data', (chunk: Buffer) => {
    if (isFirst) bytes += chunk.length
    if (foundMarker === marker) return
    // A marker can begin in one chunk and end in the next chunk.
    const text = Buffer.concat([previousEnd, chunk])
    if (text.includes(marker)) {
      foundMarker = marker
      subscribersWithoutMarker--
      if (subscribersWithoutMarker === 0) reportDelivery()
    }
    previousEnd = text.subarray(Math.max(0, text.length - marker.length))
  })
}

function reportDelivery(): void {
  const message: MarkerReceived = { atMs: performance.timeOrigin + performance.now(), bytes }
  process.send?.(message)
}
