import { connect, createServer, type Socket } from 'node:net'
import { openLoopback } from './loopback.js'

/** How the replies of a proxy differ from the replies of the Redis server. Replies are texts in the Redis protocol (RESP). */
export interface RespRules {
  /** Returns the reply to a command instead of the server; `undefined`: the server replies. */
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
  /** The reply of the proxy itself; `undefined`: the server replies. */
  ownReply: string | undefined
}

/** Opens a proxy to the Redis server at `target`. The rules change replies, so that the proxy emulates another server. */
export async function openRespProxy(target: string, rules: RespRules): Promise<RespProxy> {
  const { hostname, port } = new URL(target)
  const server = createServer((near) => {
    const far = connect({ port: Number(port), host: hostname })
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
    forward(near, far, rules)
  })
  const { port: ownPort, close } = await openLoopback(server)
  return { url: `redis://127.0.0.1:${ownPort}`, close }
}

function forward(near: Socket, far: Socket, rules: RespRules): void {
  const pending: PendingCommand[] = []
  // Replies must be in the order of the commands. Sends each own reply whose earlier commands all have replies.
  function flush(): void {
    while (pending[0]?.ownReply !== undefined) near.write(pending.shift()?.ownReply ?? '', 'latin1')
  }
  forEachFrame(near, (frame) => {
    const command = toCommand(frame)
    const ownReply = rules.respond?.(command)
    pending.push({ command, ownReply })
    if (ownReply === undefined) far.write(frame, 'latin1')
    flush()
  })
  forEachFrame(far, (reply) => {
    const { command } = pending.shift() ?? { command: [] }
    near.write(rules.rewrite?.(command, reply) ?? reply, 'latin1')
    flush()
  })
}

/** Returns a copy of a reply in which every string is changed. */
export function mapStrings(reply: string, change: (text: string) => string): string {
  let result = ''
  for (let rest = reply; rest !== ''; ) {
    const [head, type = '', size] = /^([^\r]?)(-?\d*)[^\r]*\r\n/.exec(rest) ?? [rest]
    rest = rest.slice(head.length)
    if (!'$='.includes(type) || Number(size) < 0) {
      result += head
      continue
    }
    const text = change(rest.slice(0, Number(size)))
    result += `${type}${text.length}\r\n${text}\r\n`
    rest = rest.slice(Number(size) + 2)
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
  for (let n = type === '%' ? 2 * size : size; n > 0 && end > 0; n--) end = endOfFrame(text, end)
  return end
}

function toCommand(frame: string): string[] {
  const [first = '', ...args] = frame
    .split('\r\n')
    .filter((line, n) => n > 0 && n % 2 === 0 && line !== '')
  return [first.toUpperCase(), ...args]
}
