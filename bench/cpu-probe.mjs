/**
 * Writes the CPU time of a command, in microseconds, to file descriptor 3. Writes the line `query …` when the command
 * sends its first query to PostgreSQL, and the line `exit …` when the command exits. `node --import` loads this file
 * before the command.
 */
import { writeSync } from 'node:fs'
import { Socket } from 'node:net'

const PIPE_FD = 3

/** The type bytes of the messages Query and Parse in PostgreSQL's protocol. */
const QUERY_MESSAGE_TYPES = new Set([0x51, 0x50])

/** @param {string} event */
const report = (event) => {
  const { user, system } = process.cpuUsage()
  writeSync(PIPE_FD, `${event} ${user + system}\n`)
}

const write = Socket.prototype.write
let hasQueried = false
Socket.prototype.write = function (...args) {
  const [chunk] = args
  if (!hasQueried && Buffer.isBuffer(chunk) && QUERY_MESSAGE_TYPES.has(chunk[0] ?? 0)) {
    hasQueried = true
    report('query')
  }
  return Reflect.apply(write, this, args)
}

process.on('exit', () => report('exit'))
