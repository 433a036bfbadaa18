import { readFile } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import { MAX_CONNECTIONS } from './limits.js'

/** Number of file descriptors that are reserved for PostgreSQL, Redis, Auth0 and files. */
const RESERVED_FILES = 128

/** The file in which Linux states the limits of the process that reads it. */
const LIMITS_FILE = '/proc/self/limits'

/**
 * Chooses the maximum number of connections: {@link MAX_CONNECTIONS}, or fewer if this process may not open enough files.
 * If the number is lower, logs a warning. The limit of open files is known only on Linux.
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

/** Reads the soft limit (RLIMIT_NOFILE), which Node.js raises to the hard limit when it starts. */
export function readMaxOpenFiles(limits: string): number {
  const [, softLimit] = /^Max open files +(\d+)/m.exec(limits) ?? []
  return softLimit === undefined ? Number.POSITIVE_INFINITY : Number(softLimit)
}

/** Returns the number of connections that may be open if the process may have `maxOpenFiles` open files. */
export function connectionsWithin(maxOpenFiles: number): number {
  return Math.max(maxOpenFiles - RESERVED_FILES, Math.floor(maxOpenFiles / 2))
}
