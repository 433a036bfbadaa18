import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { QueueConnection } from './backend.js'
import { explainRedisFailure, UNREACHABLE } from './redis-failure.js'

/** Tracks outages of the queue. */
export interface QueueOutage extends FailureTracker {
  /** Records a failure of one node of a Redis Cluster. The queue can still be available. */
  recordNodeFailure(error: unknown, node: string): void
}

/** The cause of a failure, and how to correct it. */
interface Explanation {
  /** Failures of one kind have the same cause. */
  kind: string
  cause: unknown
  advice: string
}

const NODE_ADVICE =
  'check that this node runs, and that the address that it announces is reachable from this host (cluster-announce-ip, cluster-announce-hostname)'

const POSTGRES_ADVICE =
  'check that PostgreSQL runs and is reachable from this host, and that DATABASE_DIRECT_URL is correct, or DATABASE_URL if only that is set'

/**
 * Creates a tracker that logs the beginning and the end of each outage of the queue. An outage ends at the second of
 * two consecutive successes.
 *
 * @param closing Aborts when the connections are being closed. Later failures are ignored.
 */
export function createQueueOutage(
  connection: QueueConnection,
  log: Logger,
  closing: AbortSignal,
): QueueOutage {
  // URLs contain credentials, so only hosts are logged.
  const urls = connection.kind === 'redis' ? connection.urls : [connection.url]
  const host = urls.map((url) => new URL(url).host).join(',')
  let isOutageLogged = false
  const nodes = createNodeFailureLog(connection, log)
  const tracker = createFailureTracker({
    onFailure(error, isFirst) {
      const { kind, cause, advice } = explain(error, connection)
      // If an outage is already logged, a lost connection is a consequence of this outage, and is not logged.
      if (!isFirst || (kind === UNREACHABLE && isOutageLogged)) return
      isOutageLogged = true
      const err = describe(cause)
      const remedy = `the log is not read until the job queue is restored: ${advice}`
      log.warn({ err, host, advice: remedy }, 'job queue unavailable')
    },
    onRecovery(failingMs) {
      isOutageLogged = false
      nodes.clear()
      log.info({ failingMs }, 'job queue restored')
    },
    kindOf: (error) => explain(error, connection).kind,
  })
  let hasFailed = false
  return {
    isFailing: tracker.isFailing,
    recordFailure(error) {
      if (closing.aborted) return
      tracker.recordFailure(error)
      hasFailed = true
    },
    recordSuccess() {
      if (!hasFailed) tracker.recordSuccess()
      hasFailed = false
    },
    recordNodeFailure(error, node) {
      if (!closing.aborted) nodes.record(error, node)
    },
  }
}

/** Counts the failures of each node by kind, and logs the second failure of each kind. */
function createNodeFailureLog(connection: QueueConnection, log: Logger) {
  const counts = new Map<string, number>()
  return {
    record(error: unknown, node: string): void {
      const { kind, cause, advice } = explain(error, connection)
      const key = `${node} ${kind}`
      const count = (counts.get(key) ?? 0) + 1
      counts.set(key, count)
      if (count !== 2) return
      const remedy = kind === UNREACHABLE ? NODE_ADVICE : advice
      log.warn({ err: describe(cause), node, advice: remedy }, 'redis cluster node unavailable')
    },
    clear: () => counts.clear(),
  }
}

function explain(error: unknown, connection: QueueConnection): Explanation {
  if (connection.kind === 'redis') return explainRedisFailure(error, connection.urls[0])
  // With these codes, the message of the error contains the remedy.
  return hasCode(error, 'CONFIGURATION') || hasCode(error, 'DATABASE_NOT_MIGRATED')
    ? { kind: 'configuration', cause: error, advice: error.message }
    : { kind: UNREACHABLE, cause: error, advice: POSTGRES_ADVICE }
}

/**
 * Copies the message of an error and its code, or its stack if it has no code. Other properties can contain secrets:
 * ioredis adds the failed command, such as AUTH with the password.
 */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { message, stack } = error
  const details = 'code' in error ? { code: error.code, stack: undefined } : { stack }
  return Object.assign(new Error(message), details)
}
