import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService, type ServiceOverrides } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { type TestTenant, tenantEnv } from './tenant.js'

/** One line of a log. */
type LogLine = Record<string, unknown>

/** A worker that polls in this process, and what it has logged. */
export interface TestWorker {
  /** The lines of a level, or all of them. */
  lines(level?: 'debug' | 'info' | 'warn' | 'error'): LogLine[]
  close(): Promise<void>
}

/** The environment in which a worker reads this tenant into this database. */
export function workerEnv(
  { simulator }: Pick<TestTenant, 'simulator'>,
  database: TestDatabase,
): Record<string, string> {
  return {
    ...tenantEnv(simulator),
    DATABASE_URL: database.url,
    POLL_INTERVAL: '200ms',
  }
}

/** Starts a worker; it has begun to poll when this resolves. */
export async function startWorker(
  env: Record<string, string>,
  overrides: ServiceOverrides = {},
): Promise<TestWorker> {
  const lines: LogLine[] = []
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) })
  const service = await createService(loadConfig(env, ['auth0', 'database']), log, { overrides })
  await service.startWorker()
  return {
    lines: (level) =>
      lines.filter((line) => level === undefined || line.level === pino.levels.values[level]),
    close: service.close,
  }
}

/** Whether the first reconciling is done with: from then on there are polls alone, for a while. */
export function hasReconciled(worker: TestWorker): boolean {
  return worker.lines().some(({ job, outcome, msg }) => {
    return job === 'reconcile' && (msg === 'log read' || outcome === 'caught_up')
  })
}
