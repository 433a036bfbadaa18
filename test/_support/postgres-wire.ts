import { connect, createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** A proxy to a PostgreSQL server that parses all messages. */
export interface PostgresWire {
  url: string
  /** Number of row descriptions. Zero means that the proxy has parsed no result. */
  rowDescriptionCount(): number
  /** The SQL of each executed statement, in order, including `BEGIN` and `COMMIT`. */
  statements(): readonly string[]
  /** Describes the values that were sent as a date or a time, by type or as text. Contains no duplicates. */
  dateTimes(): string[]
  close(): Promise<void>
}

/** Date and time types, their arrays and ranges, by object identifier (pg_type). */
const TEMPORAL: Readonly<Record<number, string>> = {
  1082: 'date',
  1083: 'time',
  1114: 'timestamp',
  1115: 'timestamp[]',
  1182: 'date[]',
  1183: 'time[]',
  1184: 'timestamptz',
  1185: 'timestamptz[]',
  1186: 'interval',
  1187: 'interval[]',
  1266: 'timetz',
  1270: 'timetz[]',
  3908: 'tsrange',
  3910: 'tstzrange',
  3912: 'daterange',
}

/** A text that begins with a date, or an array whose first element begins with a date. */
const DATE_TEXT = /^\{?"?\d{4}-\d\d-\d\d(?!\d)/

/** Called with the description of each date or time. */
type Report = (finding: string) => void

/** Opens a proxy to the server at `target`. The proxy does not support encrypted connections. */
export async function openPostgresWire(target: string): Promise<PostgresWire> {
  const url = new URL(target)
  const { hostname: host, port } = url
  const findings = new Set<string>()
  const statements: string[] = []
  let rowDescriptions = 0
  const server = createServer((client) => {
    const upstream = connect({ host, port: Number(port) })
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.once('close', () => upstream.destroy())
    const { onRequest, onResponse } = readConversation({
      report: (finding) => void findings.add(finding),
      onRowDescription: () => {
        rowDescriptions++
      },
      onStatement: (sql) => void statements.push(sql),
    })
    client.on('data', readMessages(onRequest, { startsUntyped: true }))
    upstream.on('data', readMessages(onResponse, { startsUntyped: false }))
    client.pipe(upstream).pipe(client)
  })
  const { port: proxyPort, close } = await openLoopback(server)
  url.port = `${proxyPort}`
  return {
    url: url.href,
    rowDescriptionCount: () => rowDescriptions,
    statements: () => statements,
    dateTimes: () => [...findings],
    close,
  }
}

type OnMessage = (type: string, body: Buffer) => void

/**
 * Splits a stream into messages. A message consists of a type, a length and a body.
 *
 * @param startsUntyped Whether the first message has no type, as the first message of a client.
 */
function readMessages(onMessage: OnMessage, { startsUntyped }: { startsUntyped: boolean }) {
  let buffered: Buffer = Buffer.alloc(0)
  let typeBytes = startsUntyped ? 0 : 1
  return (chunk: Buffer) => {
    buffered = Buffer.concat([buffered, chunk])
    while (buffered.length >= typeBytes + 4) {
      const end = typeBytes + buffered.readInt32BE(typeBytes)
      if (buffered.length < end) return
      onMessage(buffered.toString('latin1', 0, typeBytes), buffered.subarray(typeBytes + 4, end))
      buffered = buffered.subarray(end)
      typeBytes = 1
    }
  }
}

/** Parses the messages of one connection. */
function readConversation({
  report,
  onRowDescription,
  onStatement,
}: {
  report: Report
  onRowDescription(): void
  onStatement(sql: string): void
}) {
  let sql = ''
  let columns: string[] = []
  const statement = () => sql.replace(/\s+/g, ' ').trim().slice(0, 120)
  const onRequest: OnMessage = (type, body) => {
    const fields = openFields(body)
    if (type === 'P') {
      fields.text()
      sql = fields.text()
      const types = fields.list(() => fields.int32())
      for (const [n, oid] of types.entries()) {
        if (oid in TEMPORAL) report(`parameter $${n + 1} is a ${TEMPORAL[oid]}: ${statement()}`)
      }
    } else if (type === 'B') {
      fields.text()
      fields.text()
      fields.list(() => fields.int16())
      for (const [n, value] of fields.list(() => fields.value()).entries()) {
        if (DATE_TEXT.test(value))
          report(`parameter $${n + 1} is the text of a date: ${statement()}`)
      }
    } else if (type === 'Q') {
      sql = fields.text()
    }
    // Execute, or a simple query.
    if (type === 'E' || type === 'Q') onStatement(sql.replace(/\s+/g, ' ').trim())
  }
  const onResponse: OnMessage = (type, body) => {
    const fields = openFields(body)
    if (type === 'T') {
      onRowDescription()
      columns = fields.list(() => {
        const { name, oid } = fields.column()
        if (oid in TEMPORAL) report(`column ${name} is a ${TEMPORAL[oid]}: ${statement()}`)
        return name
      })
    } else if (type === 'D') {
      for (const [n, value] of fields.list(() => fields.value()).entries()) {
        if (DATE_TEXT.test(value))
          report(`column ${columns[n]} is the text of a date: ${statement()}`)
      }
    }
  }
  return { onRequest, onResponse }
}

/**
 * Reads the fields of a message in order.
 *
 * @see https://www.postgresql.org/docs/current/protocol-message-formats.html
 */
function openFields(body: Buffer) {
  let at = 0
  const int16 = () => {
    at += 2
    return body.readInt16BE(at - 2)
  }
  const int32 = () => {
    at += 4
    return body.readInt32BE(at - 4)
  }
  const text = () => {
    const start = at
    at = body.indexOf(0, start) + 1
    return body.toString('utf8', start, at - 1)
  }
  return {
    int16,
    int32,
    text,
    list: <T>(read: () => T): T[] => Array.from({ length: int16() }, read),
    /** Returns the empty string for NULL. */
    value() {
      const start = at + 4
      at = start + Math.max(0, int32())
      return body.toString('utf8', start, at)
    },
    column() {
      const name = text()
      at += 6
      const oid = int32()
      at += 8
      return { name, oid }
    },
  }
}
