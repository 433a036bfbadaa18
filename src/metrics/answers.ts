import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** One answer of the API. */
interface ServedAnswer {
  /** Of a known route; another's could be any word. */
  method: string
  /** The route's pattern, never a URL: that names a user. */
  route: string
  /** `null`: the caller had gone before it. */
  status: number | null
  durationMs: number
}

/** Why a caller was turned away. */
type AuthenticationFailure = 'no_key' | 'unknown_key' | 'lacks_role'

/** What the API tells. */
export interface AnswerMetrics {
  onServed(answer: ServedAnswer): void
  /** A caller began to follow the change feed, or no longer does. */
  onFollower(change: 1 | -1): void
  onAuthenticationFailure(reason: AuthenticationFailure): void
}

/** In seconds: a look-up takes a few milliseconds, and a caller waits no longer than its time-out. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** What callers of the API see. */
export function createAnswerMetrics(registry: Registry): AnswerMetrics {
  const registers = [registry]
  const duration = new Histogram({
    name: 'last_logout_http_request_duration_seconds',
    help: 'Time from a request to the end of its answer; streams of the change feed are left out.',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS,
    registers,
  })
  const followers = new Gauge({
    name: 'last_logout_feed_clients',
    help: 'Callers that follow the change feed as a stream.',
    registers,
  })
  const failures = new Counter({
    name: 'last_logout_failed_authentications_total',
    help: 'Requests that were turned away for their key.',
    labelNames: ['reason'],
    registers,
  })
  for (const reason of ['no_key', 'unknown_key', 'lacks_role']) failures.inc({ reason }, 0)

  return {
    onServed: ({ method, route, status, durationMs }) =>
      duration.observe({ method, route, status: status ?? 'aborted' }, durationMs / 1000),
    onFollower: (change) => followers.inc(change),
    onAuthenticationFailure: (reason) => failures.inc({ reason }),
  }
}
