import { createClosers } from '../closers.js'
import { aborted } from '../errors.js'
import type { Check } from './check.js'
import { skipped } from './check.js'
import { examineConfiguration } from './configuration.js'
import { examineDatabase } from './database.js'
import { examineFreshness, FRESHNESS_CHECKS } from './freshness.js'
import { examineQueue } from './queue.js'
import { examineTenant, type TenantOptions } from './tenant.js'

/** How long Auth0 may take for all of its answers, in milliseconds. */
const TENANT_LIMIT_MS = 60_000

/** What is examined, and how closely. */
export type DoctorOptions = Omit<TenantOptions, 'asOf'>

/**
 * Examines everything that this service needs, one check after the other; what cannot be told because
 * of an earlier one is skipped. Writes nothing. Throws `ABORTED`.
 */
export async function* examine(options: DoctorOptions): AsyncGenerator<Check> {
  const { config, signal } = options
  const closers = createClosers()
  try {
    yield* examineConfiguration(config)
    const database = await examineDatabase(config, closers)
    yield* database.checks
    yield* await examineQueue(config, database.url)
    yield* database.isRead
      ? examineFreshness(database.tenant, config, Date.now())
      : skipped(FRESHNESS_CHECKS, 'the tables cannot be read')
    // An embedded server started here would keep the service from starting while Auth0 is asked.
    await closers.close()
    yield* withLimit(signal, (limited) =>
      examineTenant({ ...options, asOf: database.tenant?.asOf ?? null, signal: limited }),
    )
  } finally {
    await closers.close()
  }
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
