import { connect, createServer, type Socket } from 'node:net'
import { openLoopback } from './loopback.js'

/** How the proxy changes the replies of a Redis server. Replies are texts in Redis's protocol (RESP). */
export interface RespRules {
  /** Returns the reply of the proxy to a command, or `undefined` if the server must reply. */
  respond?(command: string[]): string | undefined
  /** Returns the reply to send in place of a reply of the server. */
  rewrite?(command: string[], reply: string): string
}

/** A proxy to a Redis server. */
export interface RespProxy {
  url: string
  close(): Promise<void>
}

/** A command whose reply the proxy has not sent yet. */
interface PendingCommand {
  command: string[]
  /** The reply of `respond`, or `undefined` if the server must reply. */
  proxyReply: string | undefined
}

/** Opens a proxy to the Redis server at `target`. The rules make it look like another product with Redis's protocol. */
export async function openRespProxy(target: string, rules: RespRules): Promise<RespProxy> {
  const { hostname, port } = new URL(target)
  const server = createServer((client) => {
    const upstream = connect({ port: Number(port), host: hostname })
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
    forward(client, upstream, rules)
  })
  const { port: proxyPort, close } = await openLoopback(server)
  return { url: `redis://127.0.0.1:${proxyPort}`, close }
}

function forward(client: Socket, upstream: Socket, rules: RespRules): void {
  const pending: PendingCommand[] = []
  // Replies must be in the order of their commands. This function sends replies of the proxy until the next reply must
  // come from the server.
  function sendProxyReplies(): void {
    while (pending[0]?.proxyReply !== undefined)
      client.write(pending.shift()?.proxyReply ?? '', 'latin1')
  }
  forEachValue(client, (request) => {
    const command = toCommand(request)
    const proxyReply = rules.respond?.(command)
    pending.push({ command, proxyReply })
    if (proxyReply === undefined) upstream.write(request, 'latin1')
    sendProxyReplies()
  })
  forEachValue(upstream, (reply) => {
    const { command } = pending.shift() ?? { command: [] }
    client.write(rules.rewrite?.(command, reply) ?? reply, 'latin1')
    sendProxyReplies()
  })
}

/** Returns a copy of a reply. `change` replaces every string in it. */
export function mapStrings(reply: string, change: (text: string) => string): string {
  let result = ''
  for (let remaining = reply; remaining !== ''; ) {
    // A value begins with a line of its type (one character) and its size. The text of a string follows this line.
    const [firstLine, type = '', size] = /^([^\r]?)(-?\d*)[^\r]*\r\n/.exec(remaining) ?? [remaining]
    remaining = remaining.slice(firstLine.length)
    // `$` and `=` are the types of strings. A negative size means null.
    if (!'$='.includes(type) || Number(size) < 0) {
      result += firstLine
      continue
    }
    const text = change(remaining.slice(0, Number(size)))
    result += `${type}${text.length}\r\n${text}\r\n`
    remaining = remaining.slice(Number(size) + 2)
  }
  return result
}

/** Calls `handle` with each complete value of RESP that arrives. */
function forEachValue(socket: Socket, handle: (value: string) => void): void {
  let buffered = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    buffered += chunk
    for (let end = endOfValue(buffered, 0); end > 0; end = endOfValue(buffered, 0)) {
      const value = buffered.slice(0, end)
      buffered = buffered.slice(end)
      handle(value)
    }
  })
}

/** Returns the index after the value that begins at `start`, or -1 if the value is incomplete. */
function endOfValue(text: string, start: number): number {
  const lineBreak = text.indexOf('\r\n', start)
  if (lineBreak === -1) return -1
  const lineEnd = lineBreak + 2
  const type = text[start] ?? ''
  const size = Number(text.slice(start + 1, lineBreak))
  // A string or a long error: `size` bytes follow the line.
  if ('$=!'.includes(type)) {
    const end = size < 0 ? lineEnd : lineEnd + size + 2
    return end <= text.length ? end : -1
  }
  // All other values are one line, except lists and maps.
  if (!'*~>%'.includes(type)) return lineEnd
  let end = lineEnd
  // A map has two values per entry: the key and the value.
  const items = type === '%' ? 2 * size : size
  for (let item = 0; item < items && end > 0; item++) end = endOfValue(text, end)
  return end
}

/** Parses a command: a list of strings, each on the line after its length. */
function toCommand(request: string): string[] {
  const [name = '', ...args] = request
    .split('\r\n')
    .filter((line, index) => index > 0 && index % 2 === 0 && line !== '')
  return [name.toUpperCase(), ...args]
}
