import { connect, createServer, type Socket } from 'node:net'
import { openLoopback } from './loopback.js'

/** Rules that replace or change the replies of a Redis server. Replies are texts in the Redis protocol (RESP). */
export interface RespRules {
  /** Returns the reply to a command. If it returns `undefined`, the server replies. */
  respond?(command: string[]): string | undefined
  /** Changes a reply of the server. */
  rewrite?(command: string[], reply: string): string
}

/** A proxy to a Redis server. */
export interface RespProxy {
  url: string
  close(): Promise<void>
}

/** A command to which the proxy has not sent a reply yet. */
interface PendingCommand {
  command: string[]
  /** The reply of `respond`; `undefined` if the server replies. */
  ownReply: string | undefined
}

/** Opens a proxy to the Redis server at `target`. By its rules, the proxy emulates another product. */
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
  // Sends own replies until a reply of the server is next: the replies must be in the order of the commands.
  function flush(): void {
    while (pending[0]?.ownReply !== undefined)
      client.write(pending.shift()?.ownReply ?? '', 'latin1')
  }
  forEachFrame(client, (frame) => {
    const command = toCommand(frame)
    const ownReply = rules.respond?.(command)
    pending.push({ command, ownReply })
    if (ownReply === undefined) upstream.write(frame, 'latin1')
    flush()
  })
  forEachFrame(upstream, (reply) => {
    const { command } = pending.shift() ?? { command: [] }
    client.write(rules.rewrite?.(command, reply) ?? reply, 'latin1')
    flush()
  })
}

/** Returns a copy of a reply in which `change` has changed every string. */
export function mapStrings(reply: string, change: (text: string) => string): string {
  let result = ''
  for (let remaining = reply; remaining !== ''; ) {
    const [head, type = '', size] = /^([^\r]?)(-?\d*)[^\r]*\r\n/.exec(remaining) ?? [remaining]
    remaining = remaining.slice(head.length)
    if (!'$='.includes(type) || Number(size) < 0) {
      result += head
      continue
    }
    const text = change(remaining.slice(0, Number(size)))
    result += `${type}${text.length}\r\n${text}\r\n`
    remaining = remaining.slice(Number(size) + 2)
  }
  return result
}

function forEachFrame(socket: Socket, handle: (frame: string) => void): void {
  let buffered = ''
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    buffered += chunk
    for (let end = endOfFrame(buffered, 0); end > 0; end = endOfFrame(buffered, 0)) {
      const frame = buffered.slice(0, end)
      buffered = buffered.slice(end)
      handle(frame)
    }
  })
}

/** Returns the index after the value that begins at `start`, or -1 if the value is incomplete. */
function endOfFrame(text: string, start: number): number {
  const lineEnd = text.indexOf('\r\n', start) + 2
  if (start >= text.length || lineEnd < 2) return -1
  const type = text[start] ?? ''
  const size = Number(text.slice(start + 1, lineEnd - 2))
  if ('$=!'.includes(type)) {
    const end = size < 0 ? lineEnd : lineEnd + size + 2
    return end <= text.length ? end : -1
  }
  if (!'*~>%'.includes(type)) return lineEnd
  let end = lineEnd
  const items = type === '%' ? 2 * size : size
  for (let item = 0; item < items && end > 0; item++) end = endOfFrame(text, end)
  return end
}

/** Parses a command: a list of strings, each on the line after its length. */
function toCommand(frame: string): string[] {
  const [name = '', ...args] = frame
    .split('\r\n')
    .filter((line, index) => index > 0 && index % 2 === 0 && line !== '')
  return [name.toUpperCase(), ...args]
}
