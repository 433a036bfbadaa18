import { once } from 'node:events'
import { loadConfig, type Need } from '../config.js'
import { createService } from '../service.js'
import type { CommandContext } from './context.js'

/** The parts of the service that run until they are told to stop. */
export type Part = 'worker' | 'api'

/** `start`, `worker` and `api`: runs parts of the service until a signal comes. */
export async function serve(context: CommandContext, parts: Part[]): Promise<void> {
  const needs = parts.map((part): Need => (part === 'worker' ? 'auth0' : 'api'))
  const config = loadConfig(context.env, ['database', ...needs])
  const log = await context.createLog(config.logLevel, 'stdout')
  const service = await createService(config, log)
  try {
    if (parts.includes('api')) log.info({ url: await service.startApi() }, 'serving')
    const { workerPort } = config.http
    if (!parts.includes('api') && workerPort !== undefined) {
      log.info({ url: await service.startMonitor(workerPort) }, 'serving health and metrics')
    }
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
