import { unlessAborted } from '../async/abort.js'
import { createClosers } from '../async/closers.js'
import { abortedError } from '../errors.js'
import type { Instant } from '../rules/instant.js'
import type { Check } from './check.js'
import { skipped } from './check.js'
import { checkConfiguration } from './configuration.js'
import { checkDatabase, type DatabaseResult } from './database.js'
import { checkFreshness, FRESHNESS_CHECKS } from './freshness.js'
import { checkNotifications } from './notifications.js'
import { checkPrivileges } from './privileges.js'
import { checkQueue } from './queue.js'
import { checkTenant, type TenantOptions } from './tenant.js'

/** Timeout of all requests to Auth0 together, in milliseconds. */
const TENANT_TIMEOUT_MS = 60_000

/** Options of the checks. */
export type DoctorOptions = Omit<TenantOptions, 'asOf' | 'databaseAheadMs'>

/**
 * Runs the checks in sequence. Skips a check if its precondition failed. Writes nothing.
 *
 * @throws `ABORTED` when the signal aborts.
 */
export async function* runChecks(options: DoctorOptions): AsyncGenerator<Check> {
  const { config, signal } = options
  const closers = createClosers()
  try {
    yield* checkConfiguration(config)
    const databaseCheck = checkDatabase(config, closers)
    // Waits even if the signal aborts, because an embedded server can be stopped only after its start.
    if (config.database.url === undefined) await databaseCheck
    const database = await unlessAborted(databaseCheck, signal)
    yield* database.checks
    yield* await unlessAborted(checkQueue(config, database.url), signal)
    yield* await unlessAborted(checkNotifications(config, database.url), signal)
    yield* await unlessAborted(checkPrivileges(database.isReadable ? database.url : null), signal)
    yield* database.isReadable
      ? checkFreshness(database.tenant, config)
      : skipped(FRESHNESS_CHECKS, 'the tables cannot be read')
    // Stops an embedded server that this command started, so that the service can start during the remaining checks.
    await closers.close()
    yield* withDeadline(signal, (deadline) =>
      checkTenant({
        ...options,
        asOf: readAsOf(database),
        databaseAheadMs: database.clockAheadMs,
        signal: deadline,
      }),
    )
  } finally {
    await closers.close()
  }
}

/**
 * Returns the value for `TenantOptions.asOf`. Returns `undefined` if the database could not be read. Returns `null` if
 * there is no database yet, because then nothing has been read.
 */
function readAsOf({ isReadable, tenant, checks }: DatabaseResult): Instant | null | undefined {
  if (isReadable) return tenant?.asOf ?? null
  return checks.some(({ status }) => status === 'failure') ? undefined : null
}

/** Aborts the signal of `run` after {@link TENANT_TIMEOUT_MS}. The check in progress then fails. */
async function* withDeadline(
  signal: AbortSignal,
  run: (deadline: AbortSignal) => AsyncGenerator<Check>,
): AsyncGenerator<Check> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  const timer = setTimeout(abort, TENANT_TIMEOUT_MS)
  signal.addEventListener('abort', abort)
  if (signal.aborted) abort()
  try {
    for await (const check of run(controller.signal)) {
      if (signal.aborted) throw abortedError()
      yield check
    }
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
  }
}
