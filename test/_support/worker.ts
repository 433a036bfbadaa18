import { pino } from 'pino'
import { loadConfig } from '../../src/config/config.js'
import { createService, type ServiceOverrides } from '../../src/service/service.js'
import type { TestDatabase } from './database.js'
import { type TestTenant, tenantEnv } from './tenant.js'

/** A parsed log line. */
type LogLine = Record<string, unknown>

/** A worker (the part of the service that reads the log) in this process. */
export interface TestWorker {
  /** Returns the log lines of a level. Default: all lines. */
  logLines(level?: 'debug' | 'info' | 'warn' | 'error'): LogLine[]
  close(): Promise<void>
}

/** Returns the environment variables of a worker that reads the log of this tenant into this database. */
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

/** Starts a worker, and waits until its schedule runs. */
export async function startWorker(
  env: Record<string, string>,
  overrides: ServiceOverrides = {},
): Promise<TestWorker> {
  const lines: LogLine[] = []
  const log = pino({ level: 'debug' }, { write: (line) => void lines.push(JSON.parse(line)) })
  const service = await createService(loadConfig(env, ['auth0', 'database']), log, { overrides })
  await service.startWorker()
  return {
    logLines: (level) =>
      lines.filter((line) => level === undefined || line.level === pino.levels.values[level]),
    close: service.close,
  }
}

/**
 * Whether the first reconcile has ended. A reconcile searches the recent log for late entries. Until the next one, the
 * worker only polls.
 */
export function hasReconciled(worker: TestWorker): boolean {
  return worker.logLines().some(({ job, outcome, msg }) => {
    return job === 'reconcile' && (msg === 'log read' || outcome === 'caught_up')
  })
}
