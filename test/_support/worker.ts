import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService, type ServiceOverrides } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { type TestTenant, tenantEnv } from './tenant.js'

/** A parsed log line. */
type LogLine = Record<string, unknown>

/** A worker that runs in this process, and its log. */
export interface TestWorker {
  /** The log lines of a level. Default: all lines. */
  lines(level?: 'debug' | 'info' | 'warn' | 'error'): LogLine[]
  close(): Promise<void>
}

/** The environment of a worker that reads this tenant into this database. */
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

/** Starts a worker. Resolves when its schedule is running. */
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

/** Returns whether the first reconcile is complete. The worker then only polls until the next reconcile. */
export function hasReconciled(worker: TestWorker): boolean {
  return worker.lines().some(({ job, outcome, msg }) => {
    return job === 'reconcile' && (msg === 'log read' || outcome === 'caught_up')
  })
}
