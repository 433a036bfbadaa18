/**
 * Is loaded before the code of a command. Writes the command's CPU time, in microseconds, to file descriptor 3: the line
 * `query …` when the command sends its first query to PostgreSQL, and the line `exit …` when it exits.
 */
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

const PIPE = 3

/** The first byte of the messages Query and Parse in PostgreSQL's protocol. */
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
