import { connect, createServer } from 'node:net'
import { openLoopback } from './loopback.js'

/** A proxy to a PostgreSQL server. It parses the messages of PostgreSQL's protocol in both directions. */
export interface PostgresWire {
  url: string
  /** Returns the number of results with rows so far. If it is 0, the proxy has parsed no result. */
  rowDescriptionCount(): number
  /** Returns the SQL of all executed statements in order, including `BEGIN` and `COMMIT`. */
  statements(): readonly string[]
  /** Describes each parameter and column that has a date or time type, or contains a date as text. No duplicates. */
  dateTimes(): string[]
  close(): Promise<void>
}

/** The types of dates and times, and their arrays and ranges, by their object identifiers (OID) in `pg_type`. */
const DATE_TIME_TYPES: Readonly<Record<number, string>> = {
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

/** A function that gets the description of a date or a time. */
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
    const { onRequest, onResponse } = createConversation({
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
 * Splits a stream into messages. A message consists of a type (one character), a length and a body.
 *
 * @param startsUntyped Whether the first message has no type. This is so for the messages of a client.
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

/** Creates two functions that parse the messages of one connection. */
function createConversation({
  report,
  onRowDescription,
  onStatement,
}: {
  report: Report
  onRowDescription(): void
  onStatement(sql: string): void
}) {
  let sql = ''
  /** The SQL of the prepared statements by name. The name of an unnamed statement is empty. */
  const prepared = new Map<string, string>()
  let columns: string[] = []
  const shortSql = () => sql.replace(/\s+/g, ' ').trim().slice(0, 120)
  const onRequest: OnMessage = (type, body) => {
    const fields = openFields(body)
    if (type === 'P') {
      // Parse: the name of the statement, its SQL, and the types of its parameters.
      const name = fields.text()
      sql = fields.text()
      prepared.set(name, sql)
      const types = fields.list(() => fields.int32())
      for (const [index, oid] of types.entries()) {
        if (oid in DATE_TIME_TYPES)
          report(`parameter $${index + 1} is a ${DATE_TIME_TYPES[oid]}: ${shortSql()}`)
      }
    } else if (type === 'B') {
      // Bind: the names of the portal and of the statement, the formats of the parameters, and their values.
      fields.text()
      sql = prepared.get(fields.text()) ?? ''
      fields.list(() => fields.int16())
      for (const [index, value] of fields.list(() => fields.value()).entries()) {
        if (DATE_TEXT.test(value))
          report(`parameter $${index + 1} is the text of a date: ${shortSql()}`)
      }
    } else if (type === 'Q') {
      sql = fields.text()
    }
    // Execute (E) or a simple query (Q).
    if (type === 'E' || type === 'Q') onStatement(sql.replace(/\s+/g, ' ').trim())
  }
  const onResponse: OnMessage = (type, body) => {
    const fields = openFields(body)
    if (type === 'T') {
      // The description of the columns.
      onRowDescription()
      columns = fields.list(() => {
        const { name, oid } = fields.column()
        if (oid in DATE_TIME_TYPES)
          report(`column ${name} is a ${DATE_TIME_TYPES[oid]}: ${shortSql()}`)
        return name
      })
    } else if (type === 'D') {
      // A row.
      for (const [index, value] of fields.list(() => fields.value()).entries()) {
        if (DATE_TEXT.test(value))
          report(`column ${columns[index]} is the text of a date: ${shortSql()}`)
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
  let offset = 0
  const int16 = () => {
    offset += 2
    return body.readInt16BE(offset - 2)
  }
  const int32 = () => {
    offset += 4
    return body.readInt32BE(offset - 4)
  }
  const text = () => {
    const start = offset
    offset = body.indexOf(0, start) + 1
    return body.toString('utf8', start, offset - 1)
  }
  return {
    int16,
    int32,
    text,
    list: <T>(read: () => T): T[] => Array.from({ length: int16() }, read),
    /** Returns the empty string for NULL. */
    value() {
      const start = offset + 4
      offset = start + Math.max(0, int32())
      return body.toString('utf8', start, offset)
    },
    column() {
      const name = text()
      // The id of the table (4 bytes), and the number of its column (2 bytes).
      offset += 6
      const oid = int32()
      // The size of the type (2 bytes), its modifier (4 bytes), and the format (2 bytes).
      offset += 8
      return { name, oid }
    },
  }
}
