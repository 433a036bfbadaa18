/**
 * Loaded into a command before its own code: tells on the third pipe the CPU time of its process in
 * microseconds, as `query` when it sends its first query to PostgreSQL and as `exit` at its end.
 */
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

const PIPE = 3

/** The first bytes of the messages Query and Parse of PostgreSQL's protocol. */
const QUERIES = new Set([0x51, 0x50])

/** @param {string} event */
const tell = (event) => {
  const { user, system } = process.cpuUsage()
  writeSync(PIPE, `${event} ${user + system}\n`)
}

const write = Socket.prototype.write
let hasAsked = false
Socket.prototype.write = function (...args) {
  const [chunk] = args
  if (!hasAsked && Buffer.isBuffer(chunk) && QUERIES.has(chunk[0] ?? 0)) {
    hasAsked = true
    tell('query')
  }
  return Reflect.apply(write, this, args)
}

process.on('exit', () => tell('exit'))
