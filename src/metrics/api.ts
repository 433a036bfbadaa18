import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { ApiMetrics } from '../measurements.js'

/**
 * Buckets of request durations, in seconds. A usual request takes a few milliseconds, and callers time out after some
 * seconds.
 */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Registers the metrics of the API. */
export function createApiMetrics(registry: Registry): ApiMetrics {
  const registers = [registry]
  const duration = new Histogram({
    name: 'last_logout_http_request_duration_seconds',
    help: 'Duration of requests until the end of the response. Streams of the change feed are not included.',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    registers,
  })
  const subscribers = new Gauge({
    name: 'last_logout_feed_clients',
    help: 'Subscribers of the change feed.',
    registers,
  })
  const failures = new Counter({
    name: 'last_logout_failed_authentications_total',
    help: 'Requests rejected because of a missing key, an unknown key or a missing role, by reason.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of ['no_key', 'unknown_key', 'lacks_role']) failures.inc({ reason }, 0)

  return {
    onResponse: ({ method, route, status, durationMs }) =>
      duration.observe({ method, route, status: status ?? 'aborted' }, durationMs / 1000),
    onSubscriber: (change) => subscribers.inc(change),
    onFailedAuthentication: (reason) => failures.inc({ reason }),
  }
}
