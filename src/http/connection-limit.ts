import { readFile } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import { MAX_CONNECTIONS } from './limits.js'

/** Number of file descriptors for everything except HTTP connections, such as connections to PostgreSQL. */
const RESERVED_FILES = 128

/** On Linux, this file contains the limits of the process that reads it. */
const LIMITS_FILE = '/proc/self/limits'

/**
 * Returns the maximum number of connections. If the limit of open files is too low for {@link MAX_CONNECTIONS}, returns
 * fewer and logs a warning. The limit of open files is known only on Linux.
 */
export async function chooseMaxConnections(log: Pick<FastifyBaseLogger, 'warn'>): Promise<number> {
  const maxOpenFiles = readMaxOpenFiles(await readFile(LIMITS_FILE, 'utf8').catch(() => ''))
  const maxConnections = Math.min(MAX_CONNECTIONS, connectionsWithin(maxOpenFiles))
  if (maxConnections < MAX_CONNECTIONS) {
    const advice = `raise the hard limit of open files (ulimit -Hn, LimitNOFILE=, --ulimit nofile=) to ${MAX_CONNECTIONS + RESERVED_FILES} for ${MAX_CONNECTIONS} connections`
    log.warn({ maxOpenFiles, maxConnections, advice }, 'connection limit lowered')
  }
  return maxConnections
}

/** Reads the soft limit of open files (RLIMIT_NOFILE). Node.js has raised it to the hard limit at its start. */
export function readMaxOpenFiles(limits: string): number {
  const [, softLimit] = /^Max open files +(\d+)/m.exec(limits) ?? []
  return softLimit === undefined ? Number.POSITIVE_INFINITY : Number(softLimit)
}

/**
 * Returns the maximum number of connections of a process that may open `maxOpenFiles` files. If the limit is very low,
 * at least half of the files are for connections.
 */
export function connectionsWithin(maxOpenFiles: number): number {
  return Math.max(maxOpenFiles - RESERVED_FILES, Math.floor(maxOpenFiles / 2))
}
