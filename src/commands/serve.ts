import { once } from 'node:events'
import { type Config, loadConfig, type Need } from '../config/config.js'
import { LastLogoutError } from '../errors.js'
import { createService, type Service } from '../service/service.js'
import type { CommandContext } from './context.js'

/** A part of the service. */
export type ServicePart = 'worker' | 'api'

/**
 * Runs `start`, `worker` or `api`: runs the given parts of the service until the process receives a signal.
 *
 * @param whileServing Called with the URL of the API after all parts have started. If it throws, the service stops.
 */
export async function runServe(
  context: CommandContext,
  parts: ServicePart[],
  whileServing?: (apiUrl: string) => Promise<void>,
): Promise<void> {
  const needs = parts.map((part): Need => (part === 'worker' ? 'auth0' : 'api'))
  const config = loadConfig(context.env, ['database', ...needs])
  const log = await context.createLog(config.logLevel, 'stdout')
  const service = await createService(config, log, { waitForDatabase: true })
  try {
    if (parts.includes('worker')) await service.loadWorker()
    // Starts the HTTP server before the database is available, so that health checks can report an outage.
    const endpoint = await startServing(service, parts, config.http)
    await service.waitUntilOpen(context.stop)
    if (endpoint !== null) {
      const { message, ...fields } = endpoint
      log.info(fields, message)
    }
    if (parts.includes('worker')) {
      const { domain, proxy } = config.auth0
      const fields = { everyMs: config.pollIntervalMs, domain, proxy: proxy?.url }
      await service.startWorker(() => log.info(fields, 'polling'))
    }
    if (!context.stop.aborted) {
      const stopped = once(context.stop, 'abort')
      const served = whileServing?.(endpoint?.url ?? '').then(() => stopped)
      await Promise.race([served ?? stopped, service.failed])
    }
    log.info('stopping')
  } finally {
    await service.close()
    log.info('stopped')
  }
  if (!context.isOutputClosed()) return
  // With exit code 0, a service manager would take the service for stopped on purpose, and not restart it.
  throw new LastLogoutError('UNFINISHED', 'The service stopped because its output was closed.')
}

async function startServing(
  service: Service,
  parts: ServicePart[],
  { workerPort, apiKeys }: Config['http'],
) {
  if (parts.includes('api')) return { url: await service.startApi(), message: 'serving' }
  if (workerPort === undefined) return null
  const url = await service.startMonitor(workerPort)
  if (apiKeys.some(({ roles }) => roles.includes('metrics'))) {
    return { url, message: 'serving health and metrics' }
  }
  const advice = 'for /metrics, add a key with the role metrics to API_KEYS of this worker'
  return { url, advice, message: 'serving health' }
}
