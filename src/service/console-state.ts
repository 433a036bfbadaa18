import { cacheFor } from '../async/timeout.js'
import type { Config } from '../config/config.js'
import { createLagHistory } from '../console/lag-history.js'
import { LastLogoutError } from '../errors.js'
import type { ConsoleState } from '../http/console.js'
import type { LastLogoutStore } from '../ports.js'
import { toDateTime } from '../rules/instant.js'
import { adviseOnGaps, describeGapState, GAP_REASONS } from './describe-gap.js'
import { queueConnection, queueName } from './open-database.js'
import { createStatusReport, toGapReport } from './status-report.js'

/** Minimum interval between two counts of rows, in milliseconds. Counting a million users and sessions takes 0.3 s. */
const COUNT_INTERVAL_MS = 60_000

/** Minimum interval between two reads of the schedule, in milliseconds. Each read opens a connection. */
const SCHEDULE_INTERVAL_MS = 10_000

/** How long a request waits for the count of rows, in milliseconds. */
const COUNT_TIMEOUT_MS = 10_000

/** How long a request waits for the schedule, in milliseconds. */
const SCHEDULE_TIMEOUT_MS = 3_000

/** Reads the state of the service for the console, the page for operators. */
export interface ConsoleStateReader {
  read(): Promise<ConsoleState>
  close(): void
}

interface ConsoleStateDeps {
  config: Config<'database'>
  store: Pick<LastLogoutStore, 'readProgress' | 'readGaps' | 'count'>
  databaseUrl: string
  getDatabaseId: () => string
}

/** Creates the reader. It records the history of the lag until it is closed, and reads all other data on request. */
export function createConsoleStateReader(deps: ConsoleStateDeps): ConsoleStateReader {
  const { config, store } = deps
  const history = createLagHistory(store)
  const readCounts = cacheFor(COUNT_INTERVAL_MS, COUNT_TIMEOUT_MS, store.count)
  const readSchedule = createScheduleReader(deps)
  return {
    close: history.close,
    async read() {
      const [progress, gaps, counts, schedule] = await Promise.all([
        store.readProgress(),
        store.readGaps(),
        readCounts(),
        readSchedule(),
      ])
      if (counts === null) {
        throw new LastLogoutError(
          'DATABASE_UNAVAILABLE',
          `PostgreSQL has not counted the rows within ${COUNT_TIMEOUT_MS} ms: retry later`,
        )
      }
      const gapReports = gaps.map((gap) => ({
        ...toGapReport(gap, progress, config),
        meaning: `${GAP_REASONS[gap.reason]}; ${describeGapState(gap, progress, config)}`,
      }))
      const { at, lagMs } = history.read()
      return {
        ...createStatusReport(config, { progress, counts, gapReports }),
        now: toDateTime(Date.now()),
        gap_advice: adviseOnGaps(gaps, progress, config),
        history: { since: toDateTime(history.startedAt), at, lag_ms: lagMs },
        schedule,
      }
    },
  }
}

type Schedule = ConsoleState['schedule']

/**
 * Loads the module that reads the schedule, and BullMQ. An API without a worker loads them only if an operator uses the
 * console, because they take 12 MiB.
 */
export const loadScheduleReader = () => import('../jobs/read-schedule.js')

/**
 * Creates a function that reads the schedule from the store of the queue: Redis or PostgreSQL. If the store is
 * unavailable, the function returns the error code as `error`.
 */
function createScheduleReader(deps: ConsoleStateDeps): () => Promise<Schedule> {
  const { config, databaseUrl } = deps
  const connection = queueConnection(config, databaseUrl)
  const store = connection.kind === 'redis' ? ('redis' as const) : ('postgresql' as const)
  const toSchedule = (error: string | null, jobs: Schedule['jobs']): Schedule => ({
    store,
    error,
    read_at: toDateTime(Date.now()),
    jobs,
  })
  const read = async (): Promise<Schedule> => {
    try {
      const { readSchedule } = await loadScheduleReader()
      const jobs = await readSchedule(connection, queueName(config, deps))
      return toSchedule(
        null,
        jobs.map(({ name, everyMs, nextAt }) => ({
          name,
          interval_ms: everyMs,
          next_at: toDateTime(nextAt),
        })),
      )
    } catch (error) {
      // The message is omitted, because it can contain names of hosts and database users.
      return toSchedule(String(Object(error).code ?? 'no response'), [])
    }
  }
  const readCached = cacheFor(SCHEDULE_INTERVAL_MS, SCHEDULE_TIMEOUT_MS, read)
  return async () => (await readCached()) ?? toSchedule('no response', [])
}
