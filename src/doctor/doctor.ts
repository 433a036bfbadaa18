import { unlessAborted } from '../async/abort.js'
import { createClosers } from '../async/closers.js'
import { aborted } from '../errors.js'
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

/** Upper bound of all requests to Auth0 together, in milliseconds. */
const TENANT_TIMEOUT_MS = 60_000

/** Options of the checks. */
export type DoctorOptions = Omit<TenantOptions, 'asOf' | 'databaseAheadMs'>

/**
 * Runs the checks one after the other. A check whose precondition failed is skipped. Nothing is written.
 *
 * @throws `ABORTED` when the signal aborts.
 */
export async function* runChecks(options: DoctorOptions): AsyncGenerator<Check> {
  const { config, signal } = options
  const closers = createClosers()
  try {
    yield* checkConfiguration(config)
    const checking = checkDatabase(config, closers)
    // This wait ignores the signal, because an embedded server can be stopped only after it has started.
    if (config.database.url === undefined) await checking
    const database = await unlessAborted(checking, signal)
    yield* database.checks
    yield* await unlessAborted(checkQueue(config, database.url), signal)
    yield* await unlessAborted(checkNotifications(config, database.url), signal)
    yield* await unlessAborted(checkPrivileges(database.isReadable ? database.url : null), signal)
    yield* database.isReadable
      ? checkFreshness(database.tenant, config)
      : skipped(FRESHNESS_CHECKS, 'the tables cannot be read')
    // Stops an embedded server that was started here. Otherwise the service could not start during the next checks.
    await closers.close()
    yield* withDeadline(signal, (deadline) =>
      checkTenant({
        ...options,
        asOf: asOfIn(database),
        databaseAheadMs: database.clockAheadMs,
        signal: deadline,
      }),
    )
  } finally {
    await closers.close()
  }
}

/** Returns `TenantOptions.asOf`: `null` also if there is no database yet, because then nothing has been read. */
function asOfIn({ isReadable, tenant, checks }: DatabaseResult): Instant | null | undefined {
  if (isReadable) return tenant?.asOf ?? null
  return checks.some(({ status }) => status === 'failure') ? undefined : null
}

/** Aborts `run` when the time is over. The check that runs then fails with a message. */
async function* withDeadline(
  signal: AbortSignal,
  run: (deadline: AbortSignal) => AsyncGenerator<Check>,
): AsyncGenerator<Check> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  const late = setTimeout(abort, TENANT_TIMEOUT_MS)
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
