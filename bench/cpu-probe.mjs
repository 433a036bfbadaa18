/**
 * Reports the CPU time of a command on the third pipe, in microseconds: as `query` when it sends its first
 * query to PostgreSQL, and as `exit` when it exits. It is loaded before the code of the command.
 */
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

const PIPE = 3

/** The first bytes of the messages Query and Parse of PostgreSQL's protocol. */
const QUERIES = new Set([0x51, 0x50])

/** @param {string} event */
const report = (event) => {
  const { user, system } = process.cpuUsage()
  writeSync(PIPE, `${event} ${user + system}\n`)
}

const write = Socket.prototype.write
let hasQueried = false
Socket.prototype.write = function (...args) {
  const [chunk] = args
  if (!hasQueried && Buffer.isBuffer(chunk) && QUERIES.has(chunk[0] ?? 0)) {
    hasQueried = true
    report('query')
  }
  return Reflect.apply(write, this, args)
}

process.on('exit', () => report('exit'))
