/**
 * Subscribes to the change feed many times in its own process, without parsing the events. Sends a {@link
 * MarkerReceived} when all subscribers have loaded the feed. For each marker from the parent process, it sends
 * `watching`, and later a {@link MarkerReceived} when the last subscriber has received the marker. The arguments are
 * the URL of the API and the number of subscribers.
 */
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { BENCH_KEY } from '../start-api.js'

/** The message that all subscribers have received a marker: a text in the feed. */
export interface MarkerReceived {
  /** When the last subscriber received the marker, in milliseconds since the epoch. */
  atMs: number
  /** Bytes that one subscriber received since the previous delivery. */
  bytes: number
}

const [url = '', count = ''] = process.argv.slice(2)
let marker = Buffer.from('event: freshness')
let waiting = Number(count)
let bytes = 0

await Promise.all(Array.from({ length: Number(count) }, (_, n) => subscribe(n === 0)))

process.on('message', (text: string) => {
  marker = Buffer.from(text)
  waiting = Number(count)
  bytes = 0
  process.send?.('watching')
})

async function subscribe(countsBytes: boolean): Promise<void> {
  const headers = { authorization: `Bearer ${BENCH_KEY}`, accept: 'text/event-stream' }
  const request = get(`${url}/v1/changes`, { headers, agent: false })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  if (response.statusCode !== 200) throw new Error(`the feed responded ${response.statusCode}`)
  let found: Buffer | undefined
  let tail = Buffer.alloc(0)
  response.on('data', (chunk: Buffer) => {
    if (countsBytes) bytes += chunk.length
    if (found === marker) return
    // A marker can begin in one chunk and end in the next chunk.
    const text = Buffer.concat([tail, chunk])
    if (text.includes(marker)) {
      found = marker
      waiting--
      if (waiting === 0) reportDelivery()
    }
    tail = text.subarray(Math.max(0, text.length - marker.length))
  })
}

function reportDelivery(): void {
  const message: MarkerReceived = { atMs: performance.timeOrigin + performance.now(), bytes }
  process.send?.(message)
}
