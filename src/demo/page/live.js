import { bearerHeader } from './apis.js'
import { durationText } from './elements.js'
import { settings } from './settings.js'
import { endOf, recordEnd, tokens } from './stored.js'
import { setState } from './uses.js'

/** The meaning of each close code of last-logout: see docs/live-connections.md. */
const MEANINGS = { 4401: 'revoked', 4403: 'expired', 1013: 'unknown' }

/** Close codes after which the server does not accept the same token again. */
const FINAL = [4401, 4403]

/** Minimum duration of a stream, in milliseconds. After a shorter stream, the page waits this long, then reconnects. */
const MIN_STREAM_MS = 1_000

const ADVICE = 'reload the page to open it again'

/** Opens the live connections of the token, unless they have ended. Calls `onEnd` when a connection ends. */
export function openLiveConnections(onEnd) {
  const end = (use, text) => {
    recordEnd(use, text)
    onEnd()
  }
  for (const [use, open] of Object.entries({ socket: openSocket, stream: openStream })) {
    setState(use, 'Not open')
    if (tokens.get() !== null && endOf(use) === undefined) open(end)
  }
}

function openSocket(end) {
  // A browser cannot set the headers of a WebSocket request. The first subprotocol is the name of the protocol. The
  // second subprotocol is the token.
  const socket = new WebSocket(settings.socketUrl, ['orders', tokens.get().access_token])
  const onOrders = countOrders('socket')
  socket.addEventListener('open', () => onOrders(0))
  socket.addEventListener('message', () => onOrders(1))
  socket.addEventListener('close', ({ code }) => {
    const text = `closed ${code} ${MEANINGS[code] ?? ''}`.trim()
    if (FINAL.includes(code)) end('socket', text)
    else setState('socket', `${text}: ${ADVICE}`)
  })
}

/**
 * Reads the stream. When the stream ends, connects again, like an `EventSource`, because only the response 401 shows a
 * logout.
 */
async function openStream(end) {
  try {
    for (;;) {
      const openedAt = Date.now()
      const { status, body } = await fetch('live/events', { headers: bearerHeader() })
      if (status === 401) return end('stream', 'ended')
      if (status !== 200) return setState('stream', `${status}: ${ADVICE}`)
      await readStream(body)
      if (Date.now() - openedAt < MIN_STREAM_MS)
        await new Promise((resume) => setTimeout(resume, MIN_STREAM_MS))
    }
  } catch {
    setState('stream', `interrupted: ${ADVICE}`)
  }
}

/** Counts the orders of a stream, until the stream ends. */
async function readStream(body) {
  const onOrders = countOrders('stream')
  onOrders(0)
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    onOrders(value.split('data:').length - 1)
  }
}

/**
 * Shows how long a connection has been open, and how many orders it has delivered. Returns a function that adds orders.
 */
function countOrders(use) {
  const openedAt = Date.now()
  let orders = 0
  return (count) => {
    orders += count
    setState(use, () => `open for ${durationText(Date.now() - openedAt)}, ${orders} orders`)
  }
}
