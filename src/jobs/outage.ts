import type { Logger } from 'pino'
import { createFailureTracker, type FailureTracker } from '../async/failure-tracker.js'
import { hasCode } from '../errors.js'
import type { QueueConnection } from './backend.js'
import { explainRedisFailure, UNREACHABLE } from './redis-failure.js'

/** Tracks outages of the queue. */
export interface QueueOutage extends FailureTracker {
  /** Logs a failure of a node of a Redis Cluster once. The queue stays available if another node takes over. */
  recordNodeFailure(error: unknown, node: string): void
}

/** Why the queue is unavailable. */
interface Explanation {
  kind: string
  cause: unknown
  advice: string
}

const NODE_ADVICE =
  'check that this node runs, and that the address that it announces is reachable from here (cluster-announce-ip, cluster-announce-hostname)'

const POSTGRES_ADVICE =
  'check that postgresql runs and is reachable from here, and DATABASE_DIRECT_URL or DATABASE_URL'

/**
 * Tracks outages of the queue. An outage is over when nothing has failed between two successes. Failures after
 * `closing` has aborted do not count, because the connections are being closed then.
 */
export function createQueueOutage(
  connection: QueueConnection,
  log: Logger,
  closing: AbortSignal,
): QueueOutage {
  // Hosts are logged instead of URLs, because URLs contain credentials.
  const urls = connection.kind === 'redis' ? connection.urls : [connection.url]
  const host = urls.map((url) => new URL(url).host).join(',')
  let isReported = false
  const nodes = createNodeReports(connection, log)
  const tracker = createFailureTracker({
    onFailure(error, isFirst) {
      const { kind, cause, advice } = explain(error, connection)
      // If a failure with a known cause has been logged, a lost connection is only a consequence of that cause. If not,
      // the lost connection can be the first sign of the cause.
      if (!isFirst || (kind === UNREACHABLE && isReported)) return
      isReported = true
      const err = describe(cause)
      const remedy = `the log is not read until the job queue is restored: ${advice}`
      log.warn({ err, host, advice: remedy }, 'job queue unavailable')
    },
    onRecovery(failingMs) {
      isReported = false
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
      if (!closing.aborted) nodes.report(error, node)
    },
  }
}

/** Logs each kind of failure of each node once, at its second occurrence. `clear` forgets all occurrences. */
function createNodeReports(connection: QueueConnection, log: Logger) {
  const counts = new Map<string, number>()
  return {
    report(error: unknown, node: string): void {
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
  // The server is available, but lacks what the queue needs. The message of the error contains the remedy.
  return hasCode(error, 'CONFIGURATION') || hasCode(error, 'DATABASE_NOT_MIGRATED')
    ? { kind: 'configuration', cause: error, advice: error.message }
    : { kind: UNREACHABLE, cause: error, advice: POSTGRES_ADVICE }
}

/**
 * Copies only the message and the code of an error, or the stack if there is no code. Other properties can contain
 * secrets: ioredis adds the failed command, such as AUTH with the password.
 */
function describe(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { message, stack } = error
  const rest = 'code' in error ? { code: error.code, stack: undefined } : { stack }
  return Object.assign(new Error(message), rest)
}
