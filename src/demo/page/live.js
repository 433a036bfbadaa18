import { bearerHeader } from './apis.js'
import { durationText } from './elements.js'
import { settings } from './settings.js'
import { endOf, recordEnd, tokens } from './stored.js'
import { setState } from './uses.js'

/** What the close codes of last-logout mean: docs/live-connections.md. */
const MEANINGS = { 4401: 'revoked', 4403: 'expired', 1013: 'unknown' }

/** Close codes after which the server does not accept the same token again. */
const FINAL = [4401, 4403]

const ADVICE = 'reload the page to open it again'

/** Opens the live connections of the token, unless they have ended. Calls `onEnd` when one of them ends. */
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
  // A browser cannot set the headers of a WebSocket. The first subprotocol is its name, the second one the token.
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
 * Opens the event stream. When it ends, requests it once more, as an EventSource does: only the status of that response
 * shows whether the token is refused.
 */
async function openStream(end) {
  try {
    const status = await readStream()
    if (status === 401) return end('stream', '401')
    const nextStatus = status === 200 ? await readStream() : status
    if (nextStatus === 401) return end('stream', 'ended')
    setState('stream', `${nextStatus === 200 ? 'ended' : nextStatus}: ${ADVICE}`)
  } catch {
    setState('stream', `interrupted: ${ADVICE}`)
  }
}

/** Reads an event stream until it ends. Returns the status of its response. */
async function readStream() {
  const { ok, status, body } = await fetch('live/events', { headers: bearerHeader() })
  if (!ok) return status
  const onOrders = countOrders('stream')
  onOrders(0)
  const reader = body.pipeThrough(new TextDecoderStream()).getReader()
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return status
    onOrders(value.split('data:').length - 1)
  }
}

/** Shows how long a connection has been open, and how many orders it has delivered. Returns a function that adds orders. */
function countOrders(use) {
  const openedAt = Date.now()
  let orders = 0
  return (count) => {
    orders += count
    setState(use, () => `open for ${durationText(Date.now() - openedAt)}, ${orders} orders`)
  }
}
