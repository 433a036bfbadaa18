import { createClosers } from '../async/closers.js'
import { aborted } from '../errors.js'
import type { Instant } from '../rules/instant.js'
import type { Check } from './check.js'
import { skipped } from './check.js'
import { examineConfiguration } from './configuration.js'
import { type DatabaseFindings, examineDatabase } from './database.js'
import { examineFreshness, FRESHNESS_CHECKS } from './freshness.js'
import { examineNotifications } from './notifications.js'
import { examinePrivileges } from './privileges.js'
import { examineQueue } from './queue.js'
import { examineTenant, type TenantOptions } from './tenant.js'

/** How long Auth0 may take for all of its answers, in milliseconds. */
const TENANT_LIMIT_MS = 60_000

/** What is examined, and how closely. */
export type DoctorOptions = Omit<TenantOptions, 'asOf' | 'databaseAheadMs'>

/**
 * Examines everything that this service needs, one check after the other; what cannot be told because
 * of an earlier one is skipped. Writes nothing. Throws `ABORTED`.
 */
export async function* examine(options: DoctorOptions): AsyncGenerator<Check> {
  const { config, signal } = options
  const closers = createClosers()
  try {
    yield* examineConfiguration(config)
    const looking = examineDatabase(config, closers)
    // A server that is being started is waited for: only then can it be stopped.
    if (config.database.url === undefined) await looking
    const database = await unlessAborted(looking, signal)
    yield* database.checks
    yield* await unlessAborted(examineQueue(config, database.url), signal)
    yield* await unlessAborted(examineNotifications(config, database.url), signal)
    yield* await unlessAborted(examinePrivileges(database.isRead ? database.url : null), signal)
    yield* database.isRead
      ? examineFreshness(database.tenant, config)
      : skipped(FRESHNESS_CHECKS, 'the tables cannot be read')
    // An embedded server started here would keep the service from starting while Auth0 is asked.
    await closers.close()
    yield* withLimit(signal, (limited) =>
      examineTenant({
        ...options,
        asOf: asOfIn(database),
        databaseAheadMs: database.clockAheadMs,
        signal: limited,
      }),
    )
  } finally {
    await closers.close()
  }
}

/** Waits for an answer that may come late, if ever, or throws `ABORTED`. */
async function unlessAborted<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  let abort = () => {}
  const stopped = new Promise<never>((_, reject) => {
    abort = () => reject(aborted())
    signal.addEventListener('abort', abort)
    if (signal.aborted) abort()
  })
  try {
    return await Promise.race([answer, stopped])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** As `TenantOptions.asOf`: where there is no database yet, nothing has been read. */
function asOfIn({ isRead, tenant, checks }: DatabaseFindings): Instant | null | undefined {
  if (isRead) return tenant?.asOf ?? null
  return checks.some(({ status }) => status === 'failure') ? undefined : null
}

/** The check that is under way when the time is over says so itself. */
async function* withLimit(
  signal: AbortSignal,
  run: (limited: AbortSignal) => AsyncGenerator<Check>,
): AsyncGenerator<Check> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  const late = setTimeout(abort, TENANT_LIMIT_MS)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    for await (const check of run(controller.signal)) {
      if (signal.aborted) throw aborted()
      yield check
    }
  } finally {
    clearTimeout(late)
    signal.removeEventListener('abort', abort)
  }
}
