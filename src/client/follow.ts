import type { Instant } from '../rules/instant.js'
import { LastLogoutClientError } from './errors.js'
import { createEventReader, type ServerSentEvent } from './event-stream.js'
import { type Freshness, readFreshness } from './freshness.js'
import type { Held } from './held.js'
import type { Settings } from './options.js'
import { readText, request } from './request.js'
import { createWaiters } from './waiters.js'

const EVENT_STREAM = 'text/event-stream'

/** The service is heard of every five seconds; after this silence the connection counts as broken, in milliseconds. */
const SILENCE_MS = 15_000

/** How exact the clock is that nobody sets, in milliseconds; the time of day is exact. */
const TICK_MS = 250

/** The first and the longest wait before connecting again, in milliseconds. */
const FIRST_WAIT_MS = 100
const LONGEST_WAIT_MS = 10_000

/** Follows the change feed, and keeps what it tells. */
export interface Follower {
  /** `null` until everything has been loaded once. */
  freshness(): Freshness | null
  /** From when on all logouts are held; `Infinity` before that. */
  heldSince(): Instant
  /** Resolves when checks can be answered; rejects when the service refuses the key, or at `close`. */
  ready(): Promise<void>
  close(): Promise<void>
}

/** Loads what the service knows, and follows it until closed, whatever happens to the connection. */
export function createFollower(settings: Settings, held: Held): Follower {
  const waiters = createWaiters()
  let freshness: Freshness | null = null
  let heldSince = Number.POSITIVE_INFINITY
  let cursor: string | null = null
  /** Where that begins which is being loaded, or has been. */
  let loadingSince = 0
  let reloadAt = Number.POSITIVE_INFINITY
  let connection = new AbortController()
  /** Why we ended the connection, if it was us. */
  let endedFor: 'reload' | 'silence' | null = null
  let isClosed = false
  // To ask two clocks at every check would be a tenth of what it costs.
  let tickedAt = performance.now()
  const ticking = setInterval(() => {
    tickedAt = performance.now()
  }, TICK_MS).unref()
  let wait: { timer: NodeJS.Timeout; resolve: () => void } | undefined

  /** Takes what the service says it knows: all of it has been delivered by now. */
  function advance(next: Freshness): void {
    const isBack = freshness !== null && (next.asOf ?? 0) < (freshness.asOf ?? 0)
    const isLoaded = heldSince !== loadingSince
    freshness = next
    heldSince = loadingSince
    if (isLoaded) {
      held.dropBefore(heldSince)
      reloadAt = performance.now() + settings.reloadIntervalMs * (0.9 + Math.random() * 0.2)
    }
    if (next.asOf !== null) waiters.resolve()
    // A database that was set back may give the same positions to other changes.
    if (isBack || performance.now() > reloadAt) {
      cursor = null
      end('reload')
    }
  }

  function take({ name, data, id }: ServerSentEvent): void {
    // What is left of the last piece of text would set the cursor again.
    if (connection.signal.aborted) return
    if (name === 'change') held.merge(JSON.parse(data))
    if (name === 'reset') cursor = null
    if (id) cursor = id
    if (name === 'freshness')
      advance(readFreshness(JSON.parse(data), performance.now(), () => tickedAt))
  }

  function end(reason: NonNullable<typeof endedFor>): void {
    endedFor = reason
    connection.abort()
  }

  async function connect(): Promise<void> {
    // A load that was cut off goes on where it was, and means the same when it is done.
    if (cursor === null) loadingSince = Date.now() - settings.horizonMs
    const query = new URLSearchParams({ since: new Date(loadingSince).toISOString() })
    if (cursor !== null) query.set('after', cursor)
    const { signal } = connection
    const silence = setTimeout(() => end('silence'), SILENCE_MS)
    try {
      const response = await request(settings, `v1/changes?${query}`, {
        accept: EVENT_STREAM,
        signal,
      })
      assertEventStream(response)
      const read = createEventReader(take)
      for await (const text of readText(response, signal)) {
        silence.refresh()
        read(text)
      }
    } finally {
      clearTimeout(silence)
      // What is left of the answer is not read.
      connection.abort()
    }
  }

  async function run(): Promise<void> {
    for (let failures = 0; !isClosed; ) {
      const before = freshness
      connection = new AbortController()
      endedFor = null
      await connect().catch(report)
      failures = freshness === before ? failures + 1 : 0
      if (!isClosed) await pause(failures)
    }
  }

  function report(error: unknown): void {
    if (isClosed || endedFor === 'reload') return
    const isOurs = error instanceof LastLogoutClientError
    if (isOurs && error.code === 'UNAUTHORIZED') waiters.reject(error)
    const what = endedFor === 'silence' ? `is silent for ${SILENCE_MS / 1000} s` : 'broke off'
    settings.onError?.(
      isOurs ? error : new LastLogoutClientError('UNAVAILABLE', `the feed ${what}`, error),
    )
  }

  /** With jitter: all clients of a service that restarts lose it at once. */
  function pause(failures: number): Promise<void> {
    const longestMs = Math.min(FIRST_WAIT_MS * 2 ** failures, LONGEST_WAIT_MS)
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, longestMs * (0.5 + Math.random() / 2))
      wait = { timer, resolve }
    })
  }

  const stopped = run()

  return {
    freshness: () => freshness,
    heldSince: () => heldSince,
    ready: async () => {
      if (isClosed) throw closed()
      if (freshness === null || freshness.asOf === null) await waiters.wait()
    },
    async close() {
      isClosed = true
      clearInterval(ticking)
      waiters.reject(closed())
      connection.abort()
      clearTimeout(wait?.timer)
      wait?.resolve()
      await stopped
    },
  }
}

function assertEventStream({ headers }: Response): void {
  const type = headers.get('content-type')
  if (type?.startsWith(EVENT_STREAM)) return
  throw new LastLogoutClientError('NOT_UNDERSTOOD', `the feed came as ${type}, not as events`)
}

function closed(): LastLogoutClientError {
  return new LastLogoutClientError('CLOSED', 'the client is closed')
}
