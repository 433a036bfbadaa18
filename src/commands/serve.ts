import { once } from 'node:events'
import { loadConfig, type Need } from '../config/config.js'
import { createService, type Service } from '../service/service.js'
import type { CommandContext } from './context.js'

/** The parts of the service that run until they are told to stop. */
export type Part = 'worker' | 'api'

/** `start`, `worker` and `api`: runs parts of the service until a signal comes. */
export async function serve(context: CommandContext, parts: Part[]): Promise<void> {
  const needs = parts.map((part): Need => (part === 'worker' ? 'auth0' : 'api'))
  const config = loadConfig(context.env, ['database', ...needs])
  const log = await context.createLog(config.logLevel, 'stdout')
  const service = await createService(config, log, { waitForDatabase: true })
  try {
    // Before the database is there it answers that it is away: whoever watches over it can ask.
    const served = await startServing(service, parts, config.http.workerPort)
    await service.opened(context.stop)
    if (served !== null) log.info({ url: served.url }, served.message)
    if (parts.includes('worker')) {
      await service.startWorker()
      log.info({ everyMs: config.pollIntervalMs, domain: config.auth0.domain }, 'polling')
    }
    if (!context.stop.aborted) await Promise.race([once(context.stop, 'abort'), service.gone])
    log.info('stopping')
  } finally {
    await service.close()
    log.info('stopped')
  }
}

async function startServing(service: Service, parts: Part[], workerPort: number | undefined) {
  if (parts.includes('api')) return { url: await service.startApi(), message: 'serving' }
  if (workerPort === undefined) return null
  const url = await service.startMonitor(workerPort)
  return { url, message: 'serving health and metrics' }
}
